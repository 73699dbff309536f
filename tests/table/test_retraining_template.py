"""The template of a retraining: which are fit, and when."""

from __future__ import annotations

from typing import Any

import pytest

from tests.table.retraining import B, loop, template

Raw = dict[str, Any]
pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"data": [{"name": "all", "uri": "sklearn://iris", "digest": "sha256:" + "0" * 64}]}, "TemplatePinned"),
        ({"model": "other"}, "TemplateMismatch"),
        ({"suspend": False}, "TemplateRunning"),
    ],
)
async def test_an_unfit_template_is_said_at_once(spec: Raw, reason: str) -> None:
    with loop(template_of=template(**spec)) as story:
        await story.settle()
        assert story.condition == "False/RetrainingBlocked"
        assert story.state["blocked"]["reason"] == reason
        story.drifts()
        await story.settle()
        assert story.runs == []


async def test_a_template_that_completed_is_as_good() -> None:
    with loop(template_of=template(suspend=False, gates=[{"metric": "accuracy", "min": 0.4}])) as story:
        await story.settle()
        story.drifts()
        await story.settle()
        assert story.state["blocked"]["reason"] == "TemplateRunning"
        assert not any("TemplateRunning" in item["message"] for item in story.status.get("history", ())), "it passes"
        story.digests = ["a", "b"]
        await story.train()
        await story.train()
        assert story.status["stable"]["version"] == B
