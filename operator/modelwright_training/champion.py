"""The champion: fetched and checked as a server would, and asked for its answers to exactly this run's holdout.

Its files are another job's output, so they are trusted no more than a server trusts them: every byte is checked against
the digest, the graph is looked through, and the model runs in a child process with limits.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from modelwright_server import artifact, graph, schema, stores, transfer
from modelwright_server.rejection import ModelRejectedError
from modelwright_server.schema import Datatype, Schema, TensorSpec
from modelwright_training import samples, scoring
from modelwright_training.access import access_to
from modelwright_training.contract import Champion, Reason
from modelwright_training.errors import StageError

FOLDER = "champion"
MEMORY_BYTES = 1 << 30
SECONDS = 600
_CARD = "card.json"
# Linear algebra that is not used would take memory for each of the node's cores.
_CHILD_ENV = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_NUMBERS: Mapping[Datatype, tuple[type[np.generic], frozenset[str]]] = {
    Datatype.FP32: (np.float32, frozenset({"FP32", "INT64", "BOOL"})),
    Datatype.FP64: (np.float64, frozenset({"FP32", "INT64", "BOOL"})),
    Datatype.INT64: (np.int64, frozenset({"INT64"})),
    Datatype.BOOL: (np.bool_, frozenset({"BOOL"})),
}

Array = npt.NDArray[Any]


class NotComparableError(Exception):
    """The champion cannot be judged by this holdout; the text says why."""

    def __init__(self, *, problem: str) -> None:
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Column:
    """A feature of the holdout: its datatype in the Open Inference Protocol, and its values [n], texts as objects."""

    datatype: str
    values: Array


def fetch(champion: Champion, store_root: Path, workspace: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Bring the champion's artifact into the workspace, checked; `environment` has the credentials of its store.

    Raises:
        StageError: StorageForbidden or StorageUnavailable; ArtifactInvalid when it is not what its digest says, or no
            server would run it.

    """

    def accept(folder: Path) -> None:
        schema.parse((folder / artifact.SCHEMA).read_bytes())
        graph.check(folder / artifact.MODEL)

    try:
        access = access_to(champion.access, environment)
        source = transfer.Source(stores.parse(champion.uri), access, store_root)
        transfer.copy_verified(source, workspace / FOLDER, champion.digest, accept=accept)
    except (artifact.ArtifactError, stores.StoreAddressError, ModelRejectedError) as error:
        message = f"the champion {champion.version} cannot be used: {error}; name another in evaluation.champion"
        raise StageError(Reason.ARTIFACT_INVALID, message) from error
    except (stores.StoreError, OSError) as error:
        forbidden = isinstance(error, stores.StoreForbiddenError)
        message = f"the champion {champion.version} cannot be read: {error}"
        raise StageError(Reason.STORAGE_FORBIDDEN if forbidden else Reason.STORAGE_UNAVAILABLE, message) from error


def check_rows(workspace: Path, mine: Mapping[str, Any]) -> None:
    """Refuse a champion that was trained on rows of this holdout, as far as its card tells.

    It was if a data set with rows of the holdout was among its training data, unless it held out the very same rows:
    data, order, seed, target and everything else that decides the split are the same. Where data differ in their bytes
    but share rows, nobody can tell; that only makes the champion look better than it is.

    Args:
        workspace: where the champion is.
        mine: the card of the challenger.

    Raises:
        NotComparableError: names the data set.

    """
    try:
        card = artifact.as_document((workspace / FOLDER / _CARD).read_bytes(), _CARD)
    except FileNotFoundError:
        return  # imported: nothing is known of its rows
    except artifact.ArtifactInvalidError as error:
        raise NotComparableError(problem=str(error)) from error
    ours, theirs = _split(mine), _split(card)
    if ours == theirs:
        return
    judged_by = {digest: name for name, digest in ours["data"] if ours["holdout"] in {None, name}}
    seen = {digest for name, digest in theirs["data"] if name != theirs["holdout"]}
    if shared := [name for digest, name in judged_by.items() if digest in seen]:
        problem = (
            f"it was trained on rows of data set {shared[0]!r}, from which this holdout comes: use the same data,"
            " target, seed and evaluation, or a holdout data set of its own"
        )
        raise NotComparableError(problem=problem)


def _split(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides which rows are held out."""

    def part(name: str) -> dict[str, Any]:
        found = card.get(name)
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def listed(name: str) -> list[tuple[str, str]]:
        found = card.get(name)
        items = cast("list[object]", found) if isinstance(found, list) else []
        data = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
        return [(str(item.get("name")), str(item.get("digest"))) for item in data]

    columns = part("columns")
    return {
        "data": listed("data"),
        "prepared": listed("prepared"),
        "holdout": part("evaluation").get("holdout"),
        "percent": part("evaluation").get("holdoutPercent"),
        "target": card.get("target"),
        "seed": card.get("seed"),
        "roles": {name: columns.get(name) for name in ("time", "group")},
    }


def answers(workspace: Path, columns: Mapping[str, Column], task: str) -> dict[str, Array]:
    """Return the champion's outputs for the holdout, by name.

    Raises:
        NotComparableError: it needs a column that the holdout lacks or has in another type, or does not run.

    """
    folder = workspace / FOLDER
    signature = schema.parse((folder / artifact.SCHEMA).read_bytes())
    if signature.task != task:
        raise NotComparableError(problem=f"its task is {signature.task}, this job's is {task}")
    feeds = {spec.name: _tensor(spec, columns) for spec in signature.inputs}
    with tempfile.TemporaryDirectory() as scratch:
        return _run(folder, feeds, Path(scratch))


def classes_of(workspace: Path) -> tuple[str, ...] | None:
    """Return the classes the champion gives probabilities of, as texts; None where it gives none."""
    found: Schema = schema.parse((workspace / FOLDER / artifact.SCHEMA).read_bytes())
    return next((spec.columns for spec in found.outputs if spec.name == "probabilities"), None)


def _tensor(spec: TensorSpec, columns: Mapping[str, Column]) -> Array:
    values: list[Array] = []
    for name in spec.columns or (spec.name,):
        column = columns.get(name)
        if column is None:
            raise NotComparableError(problem=f"it needs the column {name!r}, which is no feature of this job")
        values.append(_converted(name, column, spec))
    stacked = np.stack(values, axis=1)
    return stacked if len(spec.shape) > 1 else stacked[:, 0]


def _converted(name: str, column: Column, spec: TensorSpec) -> Array:
    if spec.datatype is Datatype.BYTES and column.datatype == Datatype.BYTES:
        return column.values.astype(object)
    if column.datatype not in _NUMBERS.get(spec.datatype, (None, frozenset[str]()))[1]:
        raise NotComparableError(
            problem=f"it takes the column {name!r} as {spec.datatype}, here it is {column.datatype}"
        )
    numbers = column.values.astype(np.float64)
    if np.isnan(numbers).any() and not spec.nullable:
        raise NotComparableError(problem=f"it takes no missing values in the column {name!r}, which has some here")
    return numbers.astype(_NUMBERS[spec.datatype][0])


def _run(folder: Path, feeds: Mapping[str, Array], scratch: Path) -> dict[str, Array]:
    """Let a limited child answer."""
    rows, said = scratch / "rows.npz", scratch / "answers.npz"
    samples.save(rows, feeds)
    command = [sys.executable, "-m", "modelwright_training.scoring"]
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            [*command, str(folder), str(rows), str(said), str(MEMORY_BYTES), str(SECONDS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
            env=dict(os.environ) | _CHILD_ENV,
        )
    except subprocess.TimeoutExpired as error:
        raise NotComparableError(problem=f"it took more than {SECONDS} s to answer the holdout") from error
    if child.returncode == scoring.REJECTED:
        line = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotComparableError(problem=f"it cannot be run: {line[:300]}")
    if child.returncode:
        code = child.returncode
        how = signal.Signals(-code).name if -code in set(signal.Signals) else f"code {code}"
        raise NotComparableError(
            problem=f"running it ended its process with {how}; it had {MEMORY_BYTES >> 20} MiB of memory"
        )
    return dict(samples.load(said))
