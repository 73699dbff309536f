"""`watch`: a line whenever a rollout moves, until it is over."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import Cluster, Refused, connect
from modelwright_cli.course import look, under_way
from modelwright_cli.errors import Fault
from modelwright_cli.options import Output, Target
from modelwright_cli.printing import clean

if TYPE_CHECKING:
    from modelwright_cli.objects import Json

_PAUSE_SECONDS = 1.0
_FINAL = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


def watch(target: Target, name: str, timeout_seconds: int, output: Output) -> None:
    """Follow a Deployment until what is wanted answers.

    Raises:
        Fault: it was rolled back or cannot be had, or the time is over.
    """
    cluster = connect(target)
    end = time.monotonic() + timeout_seconds
    tried: frozenset[str] = frozenset()
    last = ""
    while True:
        seen = _seen(cluster, name)
        if seen is not None:
            tried |= {under_way(seen)} - {""}
            found = look(seen, tried)
            if found.said != last:
                _tell(found.said, done=found.done, good=found.good, output=output)
                last = found.said
            if found.good:
                return
            if found.done:
                message = f"{name} was not promoted: `kubectl modelwright events {name}` has the details"
                raise Fault(message)
        if time.monotonic() >= end:
            message = f"{name} was not decided within {timeout_seconds} s: it goes on without being watched"
            raise Fault(message)
        time.sleep(_PAUSE_SECONDS)


def _seen(cluster: Cluster, name: str) -> Json | None:
    """Return the Deployment; None: the API server is away, which is no reason to stop watching."""
    try:
        return cluster.get("Deployment", name)
    except Refused as refused:
        if refused.status in _FINAL:
            raise
    except Fault:
        pass
    return None


def _tell(said: str, *, done: bool, good: bool, output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps({"message": said, "done": done, "promoted": good}, ensure_ascii=False))
    else:
        typer.echo(clean(said))
