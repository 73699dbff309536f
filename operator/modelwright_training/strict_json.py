"""Strict conversion between JSON and frozen dataclasses.

Keys are the fields' names in camelCase. Unknown, missing and duplicate keys, NaN, numbers beyond int64, lone surrogates
and wrong types are errors that name the path; nothing is coerced. Only the standard library is imported here, since the
operator imports this module.
"""

import dataclasses
import enum
import json
import math
import re
import types
import typing
from collections.abc import Mapping

JsonValue: typing.TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
T = typing.TypeVar("T")

INT64_LIMIT = 2**63
_NAMES: Mapping[object, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class StrictJsonError(ValueError):
    """The text is not JSON, or not the JSON the dataclass describes; the message names the path."""


def camel(name: str) -> str:
    """`holdout_percent` → `holdoutPercent`."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def encode(value: object) -> JsonValue:
    """JSON value of a dataclass, recursively; a field that is None or () is left out where its metadata says `omit`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            camel(field.name): encode(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (field.metadata.get("omit") and getattr(value, field.name) in (None, ()))
        }
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in typing.cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in typing.cast("tuple[object, ...]", value)]
    if isinstance(value, enum.Enum):
        return str(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    message = f"{type(value).__name__} has no JSON form"
    raise TypeError(message)


def dumps(value: object) -> str:
    """Canonical JSON: sorted keys, no spaces, no NaN, text as it is."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def loads(text: str) -> object:
    """Parse JSON, refusing duplicate keys and NaN.

    Raises:
        StrictJsonError: whatever is wrong with the text, deep nesting and huge numbers included.

    """
    try:
        parsed: object = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:
        message = f"not JSON: {error}"
        raise StrictJsonError(message) from error
    return parsed


def decode(kind: type[T], value: object, path: str = "") -> T:
    """Build the dataclass `kind` from a parsed JSON value.

    Raises:
        StrictJsonError: with the path of the first thing that differs from what `kind` describes.

    """
    return typing.cast("T", _decode(kind, value, path))


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a key appears twice in one object"
        raise StrictJsonError(message)
    return found


def _refuse_constant(name: str) -> object:
    message = f"{name} is not a JSON number"
    raise StrictJsonError(message)


def _fail(path: str, problem: str) -> typing.NoReturn:
    message = f"{path or 'the document'}: {problem}"
    raise StrictJsonError(message)


def _decode(kind: object, value: object, path: str) -> object:
    origin, arguments = typing.get_origin(kind), list[object](typing.get_args(kind))
    if origin in (types.UnionType, typing.Union):  # `X | None`, or JsonValue
        if len(arguments) > 2:  # noqa: PLR2004  # JsonValue: any JSON
            return _checked(value, path)
        return None if value is None else _decode(arguments[0], value, path)
    if origin is tuple:
        if not isinstance(value, list):
            _fail(path, "must be a list")
        items = typing.cast("list[object]", value)
        return tuple(_decode(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(items))
    if origin is Mapping:
        return _checked(_mapping(value, path), path)
    if isinstance(kind, type) and dataclasses.is_dataclass(typing.cast("object", kind)):
        return _dataclass(typing.cast("type[object]", kind), _mapping(value, path), path)
    return _scalar(kind, value, path)


def _scalar(kind: object, value: object, path: str) -> object:
    if isinstance(kind, enum.EnumMeta):
        members = typing.cast("type[enum.Enum]", kind)
        names = [str(member.value) for member in members]
        return members(value) if value in names else _fail(path, f"must be one of {', '.join(names)}")
    if kind is float and type(value) is int:
        return float(typing.cast("int", _checked(value, path)))
    if type(value) is not kind:
        _fail(path, f"must be {_NAMES[kind]}, not {value!r:.60}")
    return _checked(value, path)


def _mapping(value: object, path: str) -> dict[str, object]:
    return typing.cast("dict[str, object]", value) if isinstance(value, dict) else _fail(path, "must be an object")


def _checked(value: object, path: str) -> object:
    """Check JSON of any shape: finite numbers within int64, text that UTF-8 can carry."""
    _check(value, path)
    return value


def _check(value: object, path: str) -> None:
    if isinstance(value, list):
        for index, item in enumerate(typing.cast("list[object]", value)):
            _check(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in typing.cast("dict[str, object]", value).items():
            _check(key, path)
            _check(item, f"{path}.{key}")
    elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        _fail(path, "has a lone surrogate, which no text may have")
    elif isinstance(value, int) and not -INT64_LIMIT <= value < INT64_LIMIT:
        _fail(path, "is beyond 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        _fail(path, "must be a finite number")


def _dataclass(kind: type[object], given: dict[str, object], path: str) -> object:
    fields = {camel(field.name): field for field in dataclasses.fields(typing.cast("typing.Any", kind))}
    if unknown := sorted(given.keys() - fields.keys()):
        _fail(path, f"has the unknown key {unknown[0]!r:.60}; known are {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    arguments: dict[str, object] = {}
    for key, field in fields.items():
        if key in given:
            arguments[field.name] = _decode(hints[field.name], given[key], f"{path}.{key}".lstrip("."))
        elif field.default is dataclasses.MISSING:
            _fail(path, f"lacks the key {key!r}")
    try:
        return kind(**arguments)
    except StrictJsonError:
        raise
    except ValueError as error:
        _fail(path, str(error))
