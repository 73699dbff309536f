"""Options that several commands have, named as kubectl names them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

Namespace = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace; by default the one of the kubeconfig.", show_default=False)
]
Context = Annotated[str, typer.Option("--context", help="Context of the kubeconfig.", show_default=False)]
Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", help="Path of the kubeconfig; by default KUBECONFIG.", show_default=False)
]


class Output(StrEnum):
    """How data is printed."""

    TEXT = "text"
    JSON = "json"


Format = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for programs.")]


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and namespace, as kubectl's options say; empty: as the kubeconfig says."""

    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""
