"""`export model-card`: a version's model card, Markdown with the front matter that Hugging Face's tools read; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from modelwright_cli.documents import facts, operation
from modelwright_cli.documents.dossier import plain
from modelwright_cli.objects import Json, number, parts, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelwright_cli.documents.facts import Fact
    from modelwright_cli.documents.holdings import Holdings

_PARTS: tuple[tuple[str, Sequence[Callable[[Holdings], Fact]]], ...] = (
    ("Model", (facts.identity, facts.owner, facts.integrity, facts.interface)),
    ("Intended use", (facts.intended_use, facts.limitations, facts.risk_tier)),
    ("Training", (facts.method, facts.source_code, facts.software, facts.data, facts.warnings)),
    ("Evaluation", (facts.holdout, facts.metrics, facts.gates, facts.fairness, facts.champion)),
    ("Approval", (facts.approval,)),
    ("In use", (operation.serving, operation.monitoring, operation.findings, operation.outcomes)),
)


def card(held: Holdings) -> str:
    """Return the card; what nobody said is named as not stated."""
    lines = ["---", yaml.safe_dump(_front(held), sort_keys=False, allow_unicode=True, width=120).rstrip(), "---", ""]
    lines += [f"# {plain(held.name)}"]
    for title, asks in _PARTS:
        lines += ["", f"## {title}"]
        for fact in (ask(held) for ask in asks):
            lines += ["", f"**{plain(fact.label)}**"]
            lines += ["", *(f"- {plain(item)}" for item in fact.said)] if fact.said else ["", "Not stated."]
    return "\n".join(lines) + "\n"


def _front(held: Holdings) -> Json:
    kind = f"tabular-{held.task.lower()}" if held.task else ""
    metrics = parts(held.version, "spec", "metrics")
    front: Json = {
        "model_name": text(held.version, "spec", "model"),
        "library_name": "onnx",
        "tags": ["onnx", "tabular", "modelwright"],
    }
    if kind:
        front["pipeline_tag"] = kind
    if kind and metrics:
        front["metrics"] = list(dict.fromkeys(text(item, "name") for item in metrics))
        front["model-index"] = [{"name": held.name, "results": _results(held, kind)}]
    return front


def _results(held: Holdings, kind: str) -> list[Json]:
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for item in parts(held.version, "spec", "metrics"):
        one = {"type": text(item, "name"), "name": text(item, "name"), "value": number(item, "value")}
        by_dataset.setdefault(text(item, "dataset") or "holdout", []).append(one)
    sources = [text(item, "uri") for item in parts(held.provenance, "data")]
    return [
        {
            "task": {"type": kind},
            "dataset": {"type": sources[0] if sources else "unknown", "name": dataset},
            "metrics": found,
        }
        for dataset, found in by_dataset.items()
    ]
