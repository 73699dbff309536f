"""The retraining of a model, as whole stories in the simulated world."""

from __future__ import annotations

import pytest

from modelwright_operator import naming
from tests.table.retraining import A, B, COOLDOWN, DAY, loop

pytestmark = pytest.mark.asyncio


async def test_drift_ends_in_one_run_whose_version_takes_over() -> None:
    with loop() as story:
        await story.settle()
        assert story.condition == "False/RetrainingIdle"
        story.drifts()
        await story.settle()
        [run] = story.runs
        assert story.condition == "True/RetrainingRunning"
        made = story.world.get(naming.TRAINING_JOBS, run)
        assert made["spec"]["suspend"] is False
        assert made["spec"]["evaluation"] == {"holdoutPercent": 25, "champion": {"deployment": "churn"}}
        assert (made["metadata"]["labels"][naming.LABEL_EPISODE], made["spec"]["model"]) == ("1", "churn")
        assert story.last["triggers"] == ["DataDrift"]
        await story.train()
        assert story.status["stable"]["version"] == B
        assert (story.last["outcome"], story.last["version"], story.last["champion"]) == ("Promoted", B, A)
        assert story.condition == "False/Retrained"
        assert story.history == ["RetrainingStarted", "Retrained"]
        assert story.events == story.history
        await story.settle(30 * DAY)
        assert story.runs == [run], "what was found on the version before says nothing of this one"
