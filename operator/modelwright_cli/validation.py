"""`validate`: files checked as the API server would check them, without one; pure but for reading them.

Files are read as if by an enemy: bounded in size, in depth and in what their aliases unfold to.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import yaml

from modelwright_cli import structural
from modelwright_cli.errors import Fault
from modelwright_cli.objects import name_of, part, parts, text
from modelwright_operator.naming import API_VERSION, GROUP, PLURALS
from modelwright_operator.raw import is_list, is_map

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from modelwright_cli.objects import Json

_MOST_BYTES = 8 << 20
_MOST_VALUES = 200_000
_DEEPEST = 100
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an object.

    Attributes:
        file: in which it is.
        object: its kind and name.
        problem: the field, what is wrong with it, and what may be meant.
    """

    file: str
    object: str
    problem: str

    def to_document(self) -> Json:
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in files.

    Attributes:
        objects: kinds and names of ours, which were checked.
        others: of other groups, which were not.
        problems: with ours.
    """

    objects: tuple[str, ...]
    others: tuple[str, ...]
    problems: tuple[Problem, ...]


def validate(files: list[Path]) -> Checked:
    """Check all objects in files.

    Raises:
        Fault: a file cannot be read.
    """
    objects: list[str] = []
    others: list[str] = []
    problems: list[Problem] = []
    for file in files:
        for document in documents(file):
            label = f"{text(document, 'kind') or 'object'}/{name_of(document) or '(no name)'}"
            if text(document, "apiVersion").partition("/")[0] != GROUP:
                others.append(label)
                continue
            objects.append(label)
            problems += [Problem(str(file), label, said) for said in wrong(document)]
    return Checked(tuple(objects), tuple(others), tuple(problems))


def wrong(document: Json) -> Iterator[str]:
    """Yield what the API server would refuse an object for."""
    kind, version = text(document, "kind"), text(document, "apiVersion")
    if version != API_VERSION:
        yield f".apiVersion: {version!r} is not known: write {API_VERSION}"
        return
    if kind not in PLURALS:
        yield f".kind: {kind!r} is not known{_meant(kind, list(PLURALS))}"
        return
    name = name_of(document)
    if name:
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
            yield f".metadata.name: {name[:60]!r} must be lower-case letters, digits, - and ."
    elif not text(document, "metadata", "generateName"):
        yield ".metadata.name: is required"
    schema = structural.schema_of(kind)
    for path, known in structural.strangers(schema, document):
        yield f"{path}: is not known{_meant(path.rpartition('.')[2], list(known))}"
    named = {**document, "metadata": {**part(document, "metadata"), "name": name or "x"}}  # rules look at it
    found = list(structural.problems(schema, structural.defaulted(schema, named)))
    decided = [said for said in found if structural.UNDECIDED not in said]  # the others follow from these
    for said in decided or found:
        yield said if said.startswith(".") else said.removeprefix(":").strip()


def documents(file: Path) -> Iterator[Json]:
    """Yield the objects in a file, those of lists too.

    Raises:
        Fault: it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror}): name a file of YAML or JSON"
        raise Fault(message) from None
    if len(data) > _MOST_BYTES:
        message = f"{file} has more than {_MOST_BYTES} bytes: an API server takes no object of that size"
        raise Fault(message)
    try:
        found = list(yaml.load_all(data, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = f"{file} is no YAML: {' '.join(str(error).split())[:300]}"
        raise Fault(message) from None
    for document in found:
        if document is None:
            continue
        if not is_map(document) or not _bounded(document):
            message = f"{file} has a document that is no object of Kubernetes, or unfolds to more than one may have"
            raise Fault(message)
        if text(document, "kind") == "List" and "items" in document:
            yield from parts(document, "items")
        else:
            yield part(document)


def _bounded(value: object) -> bool:
    """Tell whether a value is small enough with its aliases unfolded, and has texts as keys only."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    seen = 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES or depth > _DEEPEST:
            return False
        if is_map(item):
            if not all(isinstance(key, str) for key in cast("dict[object, object]", item)):
                return False
            waiting += [(inner, depth + 1) for inner in item.values()]
        elif is_list(item):
            waiting += [(inner, depth + 1) for inner in item]
    return True


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1) or [item for item in known if item.lower() == name.lower()]
    if close:
        return f": did you mean {close[0]}?"
    return f": known are {', '.join(known)}" if known else ""


class _Loader(yaml.SafeLoader):
    """YAML as the API server has it: no key twice, and no dates."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the library's
        """Refuse a key that is there twice, of which only the last would count."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1 and key != "<<"), None) if len(keys) < 5000 else None  # noqa: PLR2004 - a spec has fewer
        if twice is not None:
            message = f"the key {twice!r} is there twice in line {node.start_mark.line + 1}"
            raise ValueError(message)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [item for item in resolvers if item[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
