"""`dossier`: what auditors ask of a version, under their own numbering, of what the cluster holds; pure.

The numbers are those of the texts; headings and labels are ours and short.  It is a start for the document that the
texts ask for, and no statement that a model complies with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from modelwright_cli.documents import facts, operation
from modelwright_cli.printing import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_cli.documents.facts import Fact
    from modelwright_cli.documents.holdings import Holdings
    from modelwright_cli.objects import Json

    Ask = Callable[[Holdings], Fact]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a text, with what it asks for."""

    number: str
    title: str
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody asks of models."""

    title: str
    short: str
    sections: tuple[Section, ...]


def _outside(label: str, what: str) -> Ask:
    return partial(_elsewhere, label=label, what=what)


def _elsewhere(held: Holdings, *, label: str, what: str) -> Fact:  # noqa: ARG001 - asked as all others are
    return facts.outside(label, what)


_ANNEX_IV: Final = Text(
    "Regulation (EU) 2024/1689 (AI Act), Annex IV: technical documentation (Article 11)",
    "Annex IV",
    (
        Section(
            "1",
            "General description of the system",
            (
                facts.identity,
                facts.intended_use,
                facts.owner,
                facts.siblings,
                operation.serving,
                operation.hardware,
                facts.interface,
                _outside("instructions for use", "the instructions for those who use the predictions"),
            ),
        ),
        Section(
            "2",
            "Elements of the system and how it was developed",
            (
                facts.method,
                facts.source_code,
                facts.software,
                facts.data,
                facts.warnings,
                facts.holdout,
                facts.metrics,
                facts.fairness,
                operation.oversight,
                operation.planned_changes,
                facts.integrity,
                _outside("design choices and their reasons", "what was assumed and why it was built so"),
                _outside("where the data is from", "how the data was collected, selected and labelled"),
            ),
        ),
        Section(
            "3",
            "Monitoring, functioning and control",
            (
                facts.limitations,
                facts.metrics,
                facts.fairness,
                facts.interface,
                operation.oversight,
                operation.logging,
                _outside("foreseeable unintended outcomes and risks", "what may go wrong, and for whom"),
            ),
        ),
        Section(
            "4",
            "Whether the performance metrics are appropriate",
            (facts.gates, _outside("why these metrics", "why the metrics above fit the intended use")),
        ),
        Section(
            "5",
            "Risk management system (Article 9)",
            (facts.risk_tier, _outside("risk management", "the description of your risk management system")),
        ),
        Section("6", "Changes through the lifecycle", (operation.history,)),
        Section("7", "Harmonised standards applied", (_outside("standards", "the list of standards applied"),)),
        Section(
            "8",
            "EU declaration of conformity (Article 47)",
            (_outside("declaration", "a copy of the declaration of conformity"),),
        ),
        Section(
            "9",
            "Evaluation after it is placed on the market (Article 72)",
            (
                operation.monitoring,
                operation.findings,
                operation.outcomes,
                _outside("post-market monitoring plan", "the plan; what is above is what it can refer to"),
            ),
        ),
    ),
)
_SR_26_2: Final = Text(
    "SR 26-2: model risk management (Federal Reserve, 17 April 2026; it superseded SR 11-7)",
    "SR 26-2",
    (
        Section("a", "Model inventory", (facts.identity, facts.owner, facts.intended_use, operation.serving)),
        Section(
            "b",
            "Materiality",
            (facts.risk_tier, _outside("exposure", "how large the decisions are that rest on the model")),
        ),
        Section(
            "c",
            "Development and use",
            (facts.method, facts.source_code, facts.software, facts.data, facts.limitations),
        ),
        Section(
            "d",
            "Validation independent of development",
            (
                facts.metrics,
                facts.gates,
                facts.champion,
                facts.independence,
                _outside("validation report", "what the validators found, beyond the figures above"),
            ),
        ),
        Section(
            "e", "Monitoring and outcomes analysis", (operation.monitoring, operation.findings, operation.outcomes)
        ),
        Section(
            "f", "Governance: decisions and changes", (facts.approval, operation.planned_changes, operation.history)
        ),
    ),
)
TEXTS: Final = (_ANNEX_IV, _SR_26_2)
_NOTICE = (
    "Made of what the cluster holds, by `kubectl modelwright dossier`. Numbers are those of the texts (the letters of "
    "SR 26-2 are ours), headings are ours. It is material for the documentation that the texts ask for, no statement "
    "of compliance."
)


def compiled(held: Holdings, made_at: str) -> Json:
    """Return the dossier for programs."""
    texts = [
        {
            "title": one.title,
            "short": one.short,
            "sections": [
                {
                    "number": section.number,
                    "title": section.title,
                    "facts": [ask(held).document for ask in section.asks],
                }
                for section in one.sections
            ],
        }
        for one in TEXTS
    ]
    return {"version": held.name, "madeAt": made_at, "notice": _NOTICE, "texts": texts}


def markdown(dossier: Json) -> str:
    """Return it as Markdown, what is empty at the end once more."""
    lines = [f"# Dossier of {dossier['version']}", "", f"{dossier['notice']} Made at {dossier['madeAt']}."]
    empty: dict[str, list[str]] = {}
    for one in dossier["texts"]:
        lines += ["", f"## {one['title']}"]
        for section in one["sections"]:
            lines += ["", f"### {section['number']}. {section['title']}"]
            for fact in section["facts"]:
                lines += _told(fact)
                if fact["empty"]:
                    where = f"{one['short']} {section['number']}"
                    empty.setdefault(f"{fact['label']}: {fact['toFill']}", []).append(where)
    lines += ["", "## What is empty", ""]
    lines += [f"- {plain(said)} ({'; '.join(where)})" for said, where in empty.items()] or ["Nothing."]
    return "\n".join(lines) + "\n"


def _told(fact: Json) -> list[str]:
    head = f"**{plain(fact['label'])}**"
    if fact["empty"]:
        return ["", f"{head}: *empty*. {plain(fact['toFill'])}"]
    return ["", f"{head} ({plain(fact['source'])})", "", *(f"- {plain(item)}" for item in fact["values"])]


def plain(said: object) -> str:
    r"""Return a text in which Markdown and HTML see nothing of theirs.

    >>> plain("a_b <script>")
    'a\\_b &lt;script&gt;'
    """
    escaped = clean(said).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#!" else sign for sign in escaped)
