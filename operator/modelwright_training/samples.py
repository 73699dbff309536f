"""Tensors in a file: rows as the server would feed them to a model, and a model's answers.

Some of the holdout's rows are kept for the stage that times the model. They lie beside the artifact, not in it: nobody
publishes them. No pickle is involved, and nothing of scikit-learn or Arrow has to be loaded to read them.
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
    rows = ROWS
    while sum(array.nbytes for array in _arrays(feeds).values()) > MAX_BYTES and rows > 1:
        rows //= 2
        feeds = {name: array[:rows] for name, array in feeds.items()}
    save(folder / _FILE, feeds)


def read(folder: Path) -> Feeds:
    """Return the rows that were kept.

    Raises:
        OSError, ValueError, KeyError: what was left there is not what `write` writes.

    """
    return load(folder / _FILE)


def save(path: Path, feeds: Feeds) -> None:
    """Write tensors [n, …] by name; texts are objects."""
    with path.open("wb") as file:
        np.savez(file, **_arrays(feeds))  # type: ignore[arg-type] # the stubs take a name for allow_pickle


def _arrays(feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {_NAMES: _texts(list(feeds))}
    for at, array in enumerate(feeds.values()):
        objects = array.dtype == object
        arrays[f"{'texts' if objects else 'numbers'}-{at}"] = _texts(array.tolist()) if objects else array
    return arrays


def load(path: Path) -> Feeds:
    """Return tensors that were saved.

    Raises:
        OSError, ValueError, KeyError: the file is not what `save` writes.

    """
    feeds: dict[str, npt.NDArray[Any]] = {}
    with np.load(path, allow_pickle=False) as found:
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
