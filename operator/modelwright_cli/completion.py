"""What may come next on the command line, for kubectl's own completion.

kubectl runs the program `kubectl_complete-modelwright` with all words so far, the last of them unfinished, and takes
lines of candidates and then a directive (cobra's): 4 is "no files", 0 "files as well".
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import typer

from modelwright_cli.app import app
from modelwright_cli.errors import Fault
from modelwright_cli.options import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NO_FILES, FILES = 4, 0
_OF_VERSIONS = frozenset({"compare", "dossier", "export", "reject", "reproduce"})
_OF_FILES = frozenset({"audit", "init", "validate"})
_TARGETS = {"-n": "namespace", "--namespace": "namespace", "--context": "context", "--kubeconfig": "kubeconfig"}
_OUTPUTS = frozenset({"-o", "--output"})
_FILE_OPTIONS = frozenset({"--csv", "--json", "--kubeconfig"})


def complete(words: Sequence[str], names: Callable[[Target, str], Sequence[str]]) -> tuple[list[str], int]:
    """Return candidates for the last word, and the directive.

    Args:
        words: all so far.
        names: gives the names of all objects of a kind.
    """
    *before, last = words or [""]
    commands = _commands()
    if not before:
        return sorted(name for name in commands if name.startswith(last)), NO_FILES
    if before[0] not in commands:
        return [], NO_FILES
    command = commands[before[0]]
    if inner := _inner(command):
        if len(before) == 1:
            return sorted(name for name in inner if name.startswith(last)), NO_FILES
        command = inner.get(before[1], command)
    if _wants_file(before[0], before[-1]):
        return [], FILES
    return [name for name in _candidates(before, last, command, names) if name.startswith(last)], NO_FILES


def _wants_file(command: str, previous: str) -> bool:
    written = command in {"export", "init", "report"} and previous in _OUTPUTS
    return written or previous in _FILE_OPTIONS or (command in _OF_FILES and not previous.startswith("-"))


def _candidates(
    before: Sequence[str],
    last: str,
    command: Any,  # noqa: ANN401 - the library's
    names: Callable[[Target, str], Sequence[str]],
) -> Sequence[str]:
    if last.startswith("-"):
        return sorted({option for item in command.params for option in item.opts if option.startswith("--")})
    if before[-1] in _OUTPUTS:
        return ["json", "text"]
    if before[-1].startswith("-") and "=" not in before[-1]:
        return []  # the value of an option
    return names(_target(before), "ModelVersion" if before[0] in _OF_VERSIONS else "Deployment")


def main() -> None:
    """Print candidates; whatever goes wrong, there are none."""
    try:
        found, directive = complete(sys.argv[1:], _names)
    except Fault:
        found, directive = [], NO_FILES
    sys.stdout.write("".join(f"{name}\n" for name in found) + f":{directive}\n")


def _names(target: Target, kind: str) -> Sequence[str]:
    from modelwright_cli.inspecting import names_of  # noqa: PLC0415 - half a second that options need not pay

    return names_of(target, kind)


def _commands() -> dict[str, Any]:
    return _inner(typer.main.get_command(app))


def _inner(command: Any) -> dict[str, Any]:  # noqa: ANN401 - the library's
    """Return the commands of a group; none of another command."""
    return cast("dict[str, dict[str, Any]]", vars(command)).get("commands", {})


def _target(words: Sequence[str]) -> Target:
    """Return what the options so far say; the kubeconfig may be in the environment as well."""
    apart = {_TARGETS[word]: value for word, value in pairwise(words) if word in _TARGETS}
    joined = (word.partition("=") for word in words)
    return Target(**{**apart, **{_TARGETS[key]: value for key, mark, value in joined if mark and key in _TARGETS}})
