"""`baseline.json`: equal baselines have equal bytes, and it is read as if an enemy had written it.

Whatever is read is bounded before it is parsed, every field must be there and of its type, nothing unknown may be, and
the values must fit together (`baseline`).
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, TypeVar, cast

from modelwright_drift.baseline import (
    Baseline,
    BaselineError,
    Categorical,
    Feature,
    Inflation,
    Numeric,
)

NAME = "baseline.json"
SCHEMA_VERSION = 1
MAX_BYTES = 8 << 20

T = TypeVar("T")
_NUMERIC, _CATEGORICAL = "Numeric", "Categorical"


def dump(baseline: Baseline) -> bytes:
    """Return the canonical bytes: sorted keys, a line for each feature, UTF-8, one newline at the end.

    A baseline that would be too large gives up the lists of categories without a bin of their own.
    """
    data = _dump(baseline)
    if len(data) > MAX_BYTES:
        data = _dump(replace(baseline, features=tuple(map(_shortened, baseline.features))))
    return data


def load(data: bytes) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineError: naming the field that is wrong.
    """
    if len(data) > MAX_BYTES:
        _fail(f"it has {len(data)} bytes, the limit is {MAX_BYTES}")
    try:
        parsed: object = json.loads(data, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except BaselineError:
        raise
    except (ValueError, RecursionError) as error:
        message = f"{NAME}: is not JSON: {type(error).__name__} {str(error)[:200]}"
        raise BaselineError(message) from error
    document = _Reader(parsed, "")
    optional = ("right",) if document.has("right") else ()
    document.keys("schemaVersion", "rows", "holdoutRows", "features", "prediction", *optional)
    if document.count("schemaVersion") != SCHEMA_VERSION:
        _fail(f"schemaVersion must be {SCHEMA_VERSION}")
    right = document.each("right", _whole) if optional else ()
    made = document.each("features", _feature), document.each("prediction", _feature)
    found = _sound("", lambda: Baseline(*made, right))
    if (document.count("rows"), document.count("holdoutRows")) != (found.rows, found.holdout_rows):
        _fail("rows and holdoutRows must be those of the features and of the prediction")
    return found


def _dump(baseline: Baseline) -> bytes:
    lines = [
        '{"features":[\n' + ",\n".join(map(_line, baseline.features)) + "\n]",
        f'"holdoutRows":{baseline.holdout_rows}',
        '"prediction":[\n' + ",\n".join(map(_line, baseline.prediction)) + "\n]",
        *([f'"right":{json.dumps(baseline.right, separators=(",", ":"))}'] if baseline.right else []),
        f'"rows":{baseline.rows}',
        f'"schemaVersion":{SCHEMA_VERSION}',
    ]
    return (",\n".join(lines) + "}\n").encode()


def _line(feature: Feature) -> str:
    return json.dumps(_encoded(feature), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _encoded(feature: Feature) -> dict[str, object]:
    inflation = feature.inflation
    common: dict[str, object] = {
        "name": feature.name,
        "datatype": feature.datatype,
        "vif": inflation.vif,
        "vifChunks": inflation.chunks,
        "vifSource": inflation.source.value,
    }
    if isinstance(feature, Numeric):
        return {
            **common,
            "type": _NUMERIC,
            "edges": feature.edges,
            "counts": feature.counts,
            "missing": feature.missing,
            "min": feature.low,
            "max": feature.high,
            "mean": feature.mean,
            "deviation": feature.deviation,
        }
    pairs = zip(feature.categories, feature.counts, strict=True)
    return {
        **common,
        "type": _CATEGORICAL,
        "categories": [{"value": value, "rows": rows} for value, rows in pairs],
        "known": feature.known,
        "other": feature.other,
        "unlisted": feature.unlisted,
    }


def _shortened(feature: Feature) -> Feature:
    """Leave out the categories without a bin; where any were, all rows of `other` are now unlisted."""
    if isinstance(feature, Numeric) or not feature.known:
        return feature
    unlisted = max(feature.unlisted, feature.other)
    return Categorical(
        feature.name,
        feature.datatype,
        feature.categories,
        feature.counts,
        (),
        feature.other,
        unlisted,
        feature.inflation,
    )


class _Reader:
    """An object of the document, its fields taken one by one; errors name their path."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            _fail(f"{path or 'the document'} must be an object")
        self._fields = cast("dict[str, object]", value)
        self._path = path

    def keys(self, *expected: str) -> None:
        """Check that exactly these fields are there."""
        if odd := sorted(self._fields.keys() ^ set(expected)):
            what = "is unknown" if odd[0] in self._fields else "is missing"
            _fail(f"{self._path or 'the document'}: the field {odd[0][:60]!r} {what}")

    def has(self, name: str) -> bool:
        """Tell whether a field is there."""
        return name in self._fields

    def text(self, name: str) -> str:
        """Take a text that UTF-8 can carry."""
        value = self._fields.get(name)
        if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
            _fail(f"{self.at(name)} must be a text")
        return value

    def count(self, name: str) -> int:
        """Take a whole number; what it may be, the baseline says."""
        return _whole(self._fields.get(name), self.at(name))

    def number(self, name: str) -> float:
        """Take a finite number."""
        return _number(self._fields.get(name), self.at(name))

    def each(self, name: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """Take a list, its items read one by one."""
        value = self._fields.get(name)
        if not isinstance(value, list):
            _fail(f"{self.at(name)} must be a list")
        items = cast("list[object]", value)
        return tuple(read(item, f"{self.at(name)}[{index}]") for index, item in enumerate(items))

    def at(self, name: str) -> str:
        """Return a field's path."""
        return f"{self._path}.{name}".lstrip(".")


_COMMON = ("name", "datatype", "type", "vif", "vifChunks", "vifSource")


def _feature(value: object, path: str) -> Feature:
    reader = _Reader(value, path)
    kind = reader.text("type")
    if kind not in {_NUMERIC, _CATEGORICAL}:
        _fail(f"{reader.at('type')} must be {_NUMERIC} or {_CATEGORICAL}")
    return _sound(path, lambda: _numeric(reader) if kind == _NUMERIC else _categorical(reader))


def _numeric(reader: _Reader) -> Numeric:
    reader.keys(*_COMMON, "edges", "counts", "missing", "min", "max", "mean", "deviation")
    return Numeric(
        name=reader.text("name"),
        datatype=reader.text("datatype"),
        edges=reader.each("edges", _number),
        counts=reader.each("counts", _whole),
        missing=reader.count("missing"),
        low=reader.number("min"),
        high=reader.number("max"),
        mean=reader.number("mean"),
        deviation=reader.number("deviation"),
        inflation=_inflation(reader),
    )


def _categorical(reader: _Reader) -> Categorical:
    reader.keys(*_COMMON, "categories", "known", "other", "unlisted")
    pairs = reader.each("categories", _category)
    return Categorical(
        name=reader.text("name"),
        datatype=reader.text("datatype"),
        categories=tuple(value for value, _ in pairs),
        counts=tuple(rows for _, rows in pairs),
        known=reader.each("known", _text),
        other=reader.count("other"),
        unlisted=reader.count("unlisted"),
        inflation=_inflation(reader),
    )


def _category(value: object, path: str) -> tuple[str, int]:
    reader = _Reader(value, path)
    reader.keys("value", "rows")
    return reader.text("value"), reader.count("rows")


def _text(value: object, path: str) -> str:
    return _Reader({"item": value}, path).text("item")


def _inflation(reader: _Reader) -> Inflation:
    found = Inflation(reader.number("vif"), reader.count("vifChunks"))
    if reader.text("vifSource") != found.source:
        _fail(f"{reader.at('vifSource')} must be {found.source}, as vifChunks says")
    return found


def _whole(value: object, path: str) -> int:
    if type(value) is not int:
        _fail(f"{path} must be a whole number")
    return value


def _number(value: object, path: str) -> float:
    # `type`: a bool is an int to Python. The comparison keeps whole numbers out that no float can hold.
    if type(value) not in {int, float} or not abs(cast("float", value)) < math.inf:
        _fail(f"{path} must be a finite number")
    try:
        return float(cast("float", value))
    except OverflowError:
        _fail(f"{path} must be a finite number")


def _sound(path: str, make: Callable[[], T]) -> T:
    """Make a part of the baseline, and put the path before what it refuses."""
    try:
        return make()
    except BaselineError as error:
        if str(error).startswith(NAME):
            raise
        _fail(f"{path + ': ' if path else ''}{error}")


def _distinct(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _fail("a field appears twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    _fail(f"{name} is not a JSON number")


def _fail(problem: str) -> NoReturn:
    message = f"{NAME}: {problem}"
    raise BaselineError(message)
