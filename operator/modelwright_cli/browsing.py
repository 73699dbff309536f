"""`dashboard`: pages of a namespace for a browser on this machine, until it is interrupted."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.dashboard.frame import Place
from modelwright_cli.dashboard.routes import Site
from modelwright_cli.dashboard.server import Dashboard
from modelwright_cli.dashboard.shelf import Shelf
from modelwright_cli.errors import Fault

if TYPE_CHECKING:
    from modelwright_cli.options import Target


def serve(target: Target, port: int, *, opened: bool) -> None:
    """Serve the pages.

    Raises:
        Fault: there is no such cluster, or the port is taken.
    """
    cluster = connect(target)
    cluster.list("Deployment")  # what cannot be had at all is said here, where people look
    place = Place(cluster.namespace, str(cluster.api.configuration.host))
    try:
        server = Dashboard(Site(Shelf(cluster), place), port)
    except OSError as error:
        message = f"port {port} cannot be had ({error.strerror}): name another with --port, 0 for any that is free"
        raise Fault(message) from None
    typer.echo(f"models of namespace {cluster.namespace}: {server.address(server.token)}")
    typer.echo("only this machine reaches it, and who has this address; Ctrl-C ends it", err=True)
    if opened and _has_screen():
        threading.Thread(target=webbrowser.open, args=(server.address(server.ticket),), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("", err=True)
    finally:
        server.server_close()


def _has_screen() -> bool:
    """Tell whether a browser would have a window of its own: one in this terminal would be in the way."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
