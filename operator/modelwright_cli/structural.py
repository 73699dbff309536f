"""What an API server does with our CRDs: defaults, unknown fields, validation and CEL, on the generated schemas; pure.

A small part of https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/,
strict where the API server is; the end-to-end tests hold it against the real one.
"""

from __future__ import annotations

import json
import marshal
import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import cel

from modelwright_operator import naming
from modelwright_operator.api import crd  # noqa: ICN003  # a module of its own, not a kind
from modelwright_operator.raw import is_list, is_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
RULES = "x-kubernetes-validations"
UNDECIDED = "a rule cannot be evaluated:"

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@cache
def schema_of(kind: str) -> Json:
    """Return the root schema of one of our kinds."""
    definition = crd.definitions()[f"{naming.PLURALS[kind]}.yaml"]
    schema: Json = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _context(variables: Json) -> cel.Context:
    """Return the variables with those of Kubernetes' own functions that our rules call."""
    context = cel.Context(variables)
    context.add_function("isSorted", _is_sorted)
    context.add_function("lowerAscii", str.lower)
    return context


def _is_sorted(items: list[Any]) -> bool:
    return list(items) == sorted(items)


@cache
def _compiled(rule: str) -> cel.Program:
    return cel.compile(rule)


def defaulted(schema: Json, value: object) -> Any:  # noqa: ANN401 - any JSON
    """Return the value with the schema's defaults filled in."""
    if is_map(value) and schema.get("type") == "object":
        properties: Json = schema.get("properties", {})
        filled = {**value}
        for name, child in properties.items():
            if name not in filled and "default" in child:
                # A copy that shares nothing, many times faster than `copy.deepcopy`.
                filled[name] = marshal.loads(marshal.dumps(child["default"]))  # noqa: S302 - JSON, just written
        return {name: defaulted(properties.get(name, _values(schema)), item) for name, item in filled.items()}
    if is_list(value):
        return [defaulted(schema.get("items", {}), item) for item in value]
    return value


def _values(schema: Json) -> Json:
    values = schema.get("additionalProperties", {})
    return values if is_map(values) else {}


def unknown(schema: Json, value: object, path: str = "") -> Iterator[str]:
    """Yield the paths of fields that the schema does not know."""
    return (found for found, _ in strangers(schema, value, path))


def strangers(schema: Json, value: object, path: str = "") -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the paths of fields that the schema does not know, each with the names of those that it knows there."""
    if is_map(value):
        if schema.get(PRESERVE) or (not path and not schema):
            return
        properties: Json = schema.get("properties", {})
        for name, item in value.items():
            if name in properties:
                if path or name != "metadata":
                    yield from strangers(properties[name], item, f"{path}.{name}")
            elif "additionalProperties" in schema:
                yield from strangers(_values(schema), item, f"{path}.{name}")
            else:
                yield f"{path}.{name}", sorted(properties)
    elif is_list(value):
        for index, item in enumerate(value):
            yield from strangers(schema.get("items", {}), item, f"{path}[{index}]")


def _is_of(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _scalar(schema: Json, value: object, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: {value!r} does not match {schema['pattern']}"
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{path}: has {len(value)} characters"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            yield f"{path}: {value} is not between {low} and {high}"


def _structure(schema: Json, value: object, path: str) -> Iterator[str]:
    kind = schema.get("type")
    if value is None:
        yield f"{path}: null"
    elif schema.get(INT_OR_STRING):
        if not _is_of("integer", value) and not isinstance(value, str):
            yield f"{path}: neither a number nor a text"
    elif kind and not _is_of(kind, value):
        yield f"{path}: {value!r} is no {kind}"


def problems(schema: Json, value: object, old: object = None, path: str = "") -> Iterator[str]:
    """Yield why the API server would refuse a value; `old` is what it replaces, for transition rules."""
    wrong = list(_structure(schema, value, path))
    if wrong:
        yield from wrong
        return
    yield from _scalar(schema, value, path)
    if is_map(value):
        yield from (f"{path}.{name}: is required" for name in schema.get("required", ()) if name not in value)
        if len(value) > schema.get("maxProperties", len(value)):
            yield f"{path}: has {len(value)} properties"
        properties: Json = schema.get("properties", {})
        for name, item in value.items():
            before = old.get(name) if is_map(old) else None
            yield from problems(properties.get(name, _values(schema)), item, before, f"{path}.{name}")
    elif is_list(value):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path}: has {len(value)} items"
        keys = schema.get("x-kubernetes-list-map-keys", ())
        identities = [tuple(cast("Json", item).get(key) for key in keys) for item in value] if keys else []
        if schema.get("x-kubernetes-list-type") == "set":
            identities = [(json.dumps(item, sort_keys=True),) for item in value]
        if len(set(identities)) != len(identities):
            yield f"{path}: duplicate value"
        for index, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, None, f"{path}[{index}]")
    yield from _broken_rules(schema, value, old, path)


def _broken_rules(schema: Json, value: object, old: object, path: str) -> Iterator[str]:
    options: list[Json] = schema.get("oneOf", [])
    if options and sum(not any(problems(option, value)) for option in options) != 1:
        yield f"{path}: must validate one and only one schema (oneOf)"
    for entry in schema.get(RULES, ()):
        variables = {"self": value}
        if "oldSelf" in entry["rule"]:
            if old is None:
                continue
            variables["oldSelf"] = old
        try:
            holds = bool(_compiled(entry["rule"]).execute(_context(variables)))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            yield f"{path}: {UNDECIDED} {error}"
        else:
            if not holds:
                yield f"{path}: {entry['message']}"
