# pyright: basic
# (pyarrow and scikit-learn come without types.)
"""Data sets that come with scikit-learn: `sklearn://NAME`."""

import hashlib
import json
from typing import Any

import pyarrow as pa

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "wine")
TARGET = "target"


def load(name: str) -> tuple[Any, str]:
    """Return the table and `sha256:…` of one of `NAMES`.

    The digest covers the column names and the little-endian float64 values, row by row, the target last.
    """
    import numpy as np  # noqa: PLC0415 - scikit-learn takes a second to import; data in files needs none of it
    from sklearn import datasets  # noqa: PLC0415

    bunch = getattr(datasets, f"load_{name}")()
    values = np.ascontiguousarray(bunch.data, dtype="<f8")
    target = np.asarray(bunch.target)
    names = [*map(str, bunch.feature_names), TARGET]
    hashed = hashlib.sha256(json.dumps([name, names]).encode())
    hashed.update(np.column_stack([values, target.astype("<f8")]).tobytes())
    arrays = [pa.array(values[:, index]) for index in range(values.shape[1])]
    return pa.table([*arrays, pa.array(target)], names=names), f"sha256:{hashed.hexdigest()}"
