"""`init`: from a table to the objects that train and serve a model of it, and why; pure.

Every choice is one that a person can see and change: each is told, and no column is left out silently.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from modelwright_cli.errors import Fault
from modelwright_operator.naming import API_VERSION

if TYPE_CHECKING:
    from modelwright_cli.objects import Json
    from modelwright_cli.tabular import Column, Table

_TARGETS = (
    *("target", "label", "y", "class", "outcome", "response", "churned", "churn", "survived", "default", "fraud"),
    *("species", "price", "quality", "diagnosis", "income", "sales"),
)
_ID = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|key|index|rownum|row)$|^unnamed: \d+$)|[a-z]I[dD]$")
_CODE = re.compile(r"(?i)(^|[_\W])(code|zip|zipcode|postcode|region|category|type|class|status|month|weekday)$")
_MOST_CLASSES = 1000
_MOST_CATEGORIES = 1000
_FEW = 20  # distinct whole numbers that are classes rather than amounts
_UNIQUE_SHARE = 0.5
_HOLDOUT_PERCENT = 25
_GROUP_ROWS, _GROUP_CLASSES = 20, 10
_MOST_INPUTS = 300
_UNFIT = re.compile(r"[^A-Za-z0-9._=@+-]")
_LONGEST_NAME = 30


@dataclass
class _Roles:
    """What becomes of the columns."""

    drop: list[str] = field(default_factory=list[str])
    categorical: list[str] = field(default_factory=list[str])
    time: str = ""
    group: str = ""
    features: int = 0
    notes: list[str] = field(default_factory=list[str])

    def leave(self, column: Column, why: str) -> None:
        self.drop.append(column.name)
        self.notes.append(f"{column.name!r} is left out: {why}")


@dataclass(frozen=True, slots=True)
class Draft:
    """The objects, and why they are as they are."""

    objects: tuple[Json, ...]
    notes: tuple[str, ...]


def draft(table: Table, *, name: str, uri: str, target: str = "", task: str = "") -> Draft:
    """Return the objects for a table.

    Args:
        table: as it was read.
        name: of the model.
        uri: of the data, as a TrainingJob has it.
        target: column to predict; empty: found out.
        task: Classification or Regression; empty: found out.

    Raises:
        Fault: it cannot be trained on; says what to change.
    """
    wanted = table.column(target) if target else _target(table)
    chosen = task or _task(wanted)
    _check_target(wanted, chosen)
    roles = _Roles()
    roles.notes.append(f"{wanted.name!r} is predicted: {chosen.lower()}, {len(wanted.counts)} distinct values")
    others = [column for column in table.columns if column.name != wanted.name]
    for column in sorted(others, key=_is_not_time):  # with an order of time, nothing else splits the rows
        _place(column, wanted, roles, chosen)
    if not roles.features:
        message = f"no column is left to learn from ({'; '.join(roles.notes[1:4])}): name another --target"
        raise Fault(message)
    if not table.whole:
        roles.notes.append(f"only the first {table.rows} rows were looked at")
    return Draft(_objects(name, uri, wanted, chosen, roles), tuple(roles.notes))


def model_name(stem: str) -> str:
    """Return a name that Kubernetes takes.

    >>> model_name("Customer Churn (2026)")
    'customer-churn-2026'
    """
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return name if name[:1].isalpha() else f"model-{name}".strip("-")


def stored_at(model: str, file: str) -> str:
    """Return where a model's file is looked for, unless somebody says otherwise.

    >>> stored_at("churn", "Customers 2026.csv")
    'pvc://churn-data/Customers_2026.csv'
    """
    return f"pvc://{model}-data/{_UNFIT.sub('_', file).lstrip('.')}"


def _target(table: Table) -> Column:
    """Return the column that is most likely what is to be predicted."""
    named = {column.name.strip().lower(): column for column in table.columns}
    for name in _TARGETS:
        if name in named and len(named[name].counts) > 1:
            return named[name]
    usable = [column for column in table.columns if column.kind not in {"empty", "time", "clock"}]
    found = [column for column in usable if len(column.counts) > 1 and not _is_identifier(column)]
    if not found:
        message = "no column looks like something to predict: name it with --target"
        raise Fault(message)
    return found[-1]


def _task(column: Column) -> str:
    if column.kind in {"text", "truth"}:
        return "Classification"
    whole = column.kind == "whole" or all(number.is_integer() for number in column.numbers)
    few = len(column.counts) <= _FEW and min(column.counts.values(), default=0) > 1
    return "Classification" if whole and few else "Regression"


def _check_target(column: Column, task: str) -> None:
    subject = f"the target {column.name!r}"
    if column.missing:
        message = f"{subject} is missing in {column.missing} rows: remove these rows, or name another --target"
        raise Fault(message)
    if len(column.counts) < 2:  # noqa: PLR2004 - there is nothing to tell apart
        message = f"{subject} is the same in every row: name another --target"
        raise Fault(message)
    if task == "Regression":
        if not column.numeric:
            message = f"{subject} has values that are no numbers: a regression needs numbers; try --task Classification"
            raise Fault(message)
        return
    single = [value for value, rows in column.counts.items() if rows == 1]
    if len(column.counts) > _MOST_CLASSES or single:
        some = f"{len(single)} classes with a single row ({', '.join(single[:3])})" if single else "over 1000 classes"
        message = f"{subject} has {some}: add rows of them, remove them, or name another --target"
        raise Fault(message)


def _is_not_time(column: Column) -> bool:
    return column.kind != "time"


def _is_identifier(column: Column) -> bool:
    """Tell whether a column only tells rows apart."""
    rows = column.counts.total()
    if column.kind not in {"whole", "text"} or not rows:
        return False
    share = len(column.counts) / rows
    if _ID.search(column.name) or not column.name:
        return share > _UNIQUE_SHARE
    if column.kind == "text":
        return rows >= _FEW and share == 1
    ordered = [int(value) for value in column.values if value.strip() in column.counts]
    return rows >= _FEW and all(b - a == 1 for a, b in pairwise(ordered))


def _place(column: Column, target: Column, roles: _Roles, task: str) -> None:  # noqa: C901, PLR0912 - an ordered list of reasons
    if why := _unfit(column, target):
        roles.leave(column, why)
    elif column.kind == "time":
        if roles.time or column.missing or not _splits(column, target, task):
            roles.leave(column, "dates are no numbers; turn them into some, such as days before a date")
        else:
            roles.time = column.name
            roles.notes.append(f"{column.name!r} orders the rows: the newest {_HOLDOUT_PERCENT} % judge the model")
    elif _is_identifier(column):
        roles.leave(column, "it tells rows apart and says nothing of new ones")
    elif _is_group(column, target, task):
        if roles.time or roles.group:
            roles.leave(column, "it names whom a row is about")
        else:
            roles.group = column.name
            roles.notes.append(f"{column.name!r} says which rows belong together: none is on both sides of the split")
    elif column.kind == "text" and len(column.counts) > _MOST_CATEGORIES:
        roles.leave(column, f"it has {len(column.counts)} distinct texts, more than {_MOST_CATEGORIES}")
    elif column.kind == "text" and len(column.counts) > _UNIQUE_SHARE * len(column.values) > _FEW:
        roles.leave(column, "nearly every row has a text of its own")
    elif roles.features >= _MOST_INPUTS:
        roles.leave(column, f"there are {_MOST_INPUTS} features already")
    else:
        roles.features += 1
        if _is_code(column):
            roles.categorical.append(column.name)
            roles.notes.append(f"{column.name!r} is taken as a category: its numbers are codes")


def _unfit(column: Column, target: Column) -> str:
    """Return why no model can learn from a column; empty: one can."""
    if column.kind == "empty":
        return "it has no value"
    if len(column.counts) == 1 and not column.missing:
        return "it is the same in every row"
    if column.kind == "clock":
        return "times of day are no numbers; turn them into some, such as minutes"
    if column.numeric and not column.fits_float32:
        return "its numbers are too large, or too much alike, for the float32 that models compute in"
    if _is_copy(column, target):
        return "it is the target in other words"
    return ""


def _is_copy(column: Column, target: Column) -> bool:
    """Tell whether values of column and target stand for each other one to one, where values recur; or are alike."""
    if column.kind == "time" or len(column.counts) != len(target.counts):
        return False
    forth: defaultdict[str, set[str]] = defaultdict(set)
    back: defaultdict[str, set[str]] = defaultdict(set)
    for a, b in zip(column.values, target.values, strict=True):
        forth[a].add(b)
        back[b].add(a)
    recurs = max(target.counts.values()) > 1 or column.values == target.values
    return recurs and all(len(found) == 1 for group in (forth, back) for found in group.values())


def _is_group(column: Column, target: Column, task: str) -> bool:
    """Tell whether a column names whom a row is about, each in several rows."""
    rows = len(column.values)
    if not _ID.search(column.name) or column.missing or column.kind not in {"whole", "text"}:
        return False
    if len(column.counts) <= max(_FEW, rows * 0.02):
        return False
    rare = min(target.counts.values()) < _GROUP_ROWS or len(target.counts) > _GROUP_CLASSES
    return not (task == "Classification" and rare)


def _is_code(column: Column) -> bool:
    coded = bool(_CODE.search(column.name) or _ID.search(column.name))
    return column.kind == "whole" and not column.missing and coded and len(column.counts) <= _MOST_CATEGORIES


def _splits(column: Column, target: Column, task: str) -> bool:
    """Tell whether the newest rows can judge: both sides have rows, and all classes."""
    pairs = sorted(zip(column.values, target.values, strict=True))
    cut = len(pairs) - max(1, round(len(pairs) * _HOLDOUT_PERCENT / 100))
    older, newer = pairs[:cut], pairs[cut:]
    if not older or older[-1][0] == newer[0][0] or len(column.counts) < _FEW:
        return False
    sides = [Counter(value for _, value in side) for side in (older, newer)]
    return task == "Regression" or set(sides[0]) == set(sides[1]) == set(target.counts)


def _objects(name: str, uri: str, target: Column, task: str, roles: _Roles) -> tuple[Json, ...]:
    columns = {
        key: value
        for key, value in (
            ("drop", roles.drop),
            ("categorical", roles.categorical),
            ("time", roles.time),
            ("group", roles.group),
        )
        if value
    }
    estimator = "HistGradientBoostingClassifier" if task == "Classification" else "HistGradientBoostingRegressor"
    job: Json = {
        "model": name,
        "data": [{"name": "all", "uri": uri}],
        "target": target.name,
        "task": task,
        **({"columns": columns} if columns else {}),
        "trainer": {"sklearn": {"estimator": f"sklearn.ensemble.{estimator}"}},
        "evaluation": {"holdoutPercent": _HOLDOUT_PERCENT},
        "seed": 7,
    }
    deployment: Json = {"model": {"name": name, "follow": "Latest"}, "replicas": 1, "monitoring": {}}
    claims = [claim_of("modelwright-models")]
    if uri.startswith("pvc://"):
        claims.append(claim_of(uri.removeprefix("pvc://").partition("/")[0]))
    return (
        *claims,
        {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": {"name": f"{name}-1"}, "spec": job},
        {"apiVersion": API_VERSION, "kind": "Deployment", "metadata": {"name": name}, "spec": deployment},
    )


def claim_of(name: str, size: str = "1Gi") -> Json:
    """Return a claim of the default storage class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
