"""Some of the holdout's rows as the server would feed them to the model, for the stage that times it.

They lie beside the artifact, not in it: nobody publishes them. No pickle is involved, and nothing of scikit-learn or
Arrow has to be loaded to read them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS = 1024  # more than that is not kept
MAX_BYTES = 16 << 20
_FILE = "sample.npz"
_NAMES = "names"

Feeds = Mapping[str, npt.NDArray[Any]]


def write(folder: Path, feeds: Feeds) -> None:
    """Keep rows, given as a tensor [n, …] for each input; texts are objects. If they are large, fewer are kept."""
    arrays, rows = _arrays(feeds), ROWS
    while sum(array.nbytes for array in arrays.values()) > MAX_BYTES and rows > 1:
        rows //= 2
        arrays = _arrays({name: array[:rows] for name, array in feeds.items()})
    with (folder / _FILE).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # the stubs take a name for allow_pickle


def _arrays(feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {_NAMES: _texts(list(feeds))}
    for at, array in enumerate(feeds.values()):
        objects = array.dtype == object
        arrays[f"{'texts' if objects else 'numbers'}-{at}"] = _texts(array.tolist()) if objects else array
    return arrays


def read(folder: Path) -> Feeds:
    """Return the rows.

    Raises:
        OSError, ValueError, KeyError: what was left there is not what `write` writes.

    """
    feeds: dict[str, npt.NDArray[Any]] = {}
    with np.load(folder / _FILE, allow_pickle=False) as found:
        for at, name in enumerate(json.loads(bytes(found[_NAMES]))):
            numbers = f"numbers-{at}"
            is_numbers = numbers in found.files
            feeds[name] = (
                found[numbers] if is_numbers else np.array(json.loads(bytes(found[f"texts-{at}"])), dtype=object)
            )
    return feeds


def _texts(values: object) -> npt.NDArray[np.uint8]:
    """Return texts as bytes: arrays of fixed-width ones would have the width of the longest."""
    return np.frombuffer(json.dumps(values).encode(), dtype=np.uint8)
