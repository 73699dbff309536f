"""The retraining of a model, as whole stories in the simulated world."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.errors import Refused
from tests.support import kubelet
from tests.table.retraining import COOLDOWN, DAY, MONITORING, A, B, loop

Raw = dict[str, Any]
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


async def test_while_drift_lasts_there_is_one_run_in_a_cooldown_and_none_after_the_weeks_budget() -> None:
    with loop(cooldownSeconds=DAY, maxPerWeek=3) as story:
        await story.settle()
        story.drifts()
        for count in range(1, 4):
            await story.train(gates=False)
            assert (story.last["outcome"], len(story.runs)) == ("Rejected", count)
            assert story.status["stable"]["version"] == A
            assert story.condition == ("False/BudgetSpent" if count == 3 else "False/CoolingDown")
            await story.settle(2 * DAY - 300)
            assert len(story.runs) == count, "the cooldown is twice as long after a rejection"
            await story.settle(600)
        assert story.condition == "False/BudgetSpent"
        assert len(story.runs) == 3
        assert "spec.retraining.maxPerWeek" in story.message
        await story.settle(1 * DAY + 60)
        assert story.condition == "True/RetrainingRunning"
        assert len(story.state["runs"]) == 3, "the first is more than a week ago"
        rejected = ["RetrainingStarted", "RetrainingRejected"]
        assert story.history == [*rejected * 3, "BudgetSpent", "RetrainingStarted"]
        assert story.events == story.history


async def test_flapping_drift_gets_one_run_in_a_cooldown() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.train(gates=False)
        for _ in range(10):
            story.found("DataDriftDetected", "False")
            await story.settle(100)
            assert story.condition == "False/RetrainingRejected"
            story.found("DataDriftDetected", "True")
            await story.settle(100)
            assert story.condition == "False/CoolingDown"
        assert len(story.runs) == 1
        assert story.history == ["RetrainingStarted", "RetrainingRejected"]


async def test_drift_that_goes_while_a_model_is_trained_changes_nothing_about_the_run() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.settle()
        story.found("DataDriftDetected", "False")
        await story.settle()
        assert story.condition == "True/RetrainingRunning"
        assert "pending" not in story.state or story.state["pending"] == []
        await story.train()
        assert story.status["stable"]["version"] == B


async def test_a_source_with_nothing_new_gets_one_run_that_costs_nothing_and_then_a_human() -> None:
    with loop() as story:
        await story.settle()
        story.data, story.digests = "d", ["a"]
        story.drifts()
        await story.train()
        assert (story.last["outcome"], story.state["runs"]) == ("NoNewData", [])
        assert story.condition == "False/DriftPersists"
        await story.settle(10 * DAY)
        assert len(story.runs) == 1
        assert story.history == ["RetrainingStarted", "NoNewData", "DriftPersists"]
        story.data, story.digests = "0", ["b"]
        story.ask("now")
        await story.train()
        assert (story.last["outcome"], story.last["triggers"]) == ("Promoted", ["DataDrift", "ByHand"])


async def test_a_version_that_drifts_as_well_is_left_to_a_human() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.train()
        story.found("DataDriftDetected", "False")
        await story.settle(2 * 3600)
        story.drifts()
        await story.settle(2 * COOLDOWN)
        assert story.condition == "False/DriftPersists"
        assert "modelwright.dev/retrain=WORD" in story.message
        assert len(story.runs) == 1
        story.change(retraining={**story.world.get(naming.DEPLOYMENTS, "churn")["spec"]["retraining"], "maxPerWeek": 5})
        await story.settle()
        assert story.condition == "True/RetrainingRunning", "somebody has changed something"


async def test_a_version_that_was_free_of_drift_for_long_is_trained_anew_when_it_drifts() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.train()
        story.change(monitoring={"window": {"maxSeconds": 3600}, "drift": {"flagged": 2, "of": 3}})
        for _ in range(3):
            story.found("DataDriftDetected", "False")
            assert "recoveredAt" not in story.last
            await story.settle(3600)
        await story.settle(60)
        assert "recoveredAt" in story.last
        story.drifts()
        await story.train()
        assert len(story.runs) == 2
        assert story.status["stable"]["version"] == naming.version_name("churn", "sha256:" + "c" * 64)


async def test_what_is_said_late_of_the_version_before_is_no_drift_of_this_one() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.settle()
        late = story.world.get(naming.DEPLOYMENTS, "churn")["status"]["monitoring"]
        await story.train()
        now = story.world.clock.text()
        found = {"type": "DataDriftDetected", "status": "True", "reason": "DriftDetected", "lastTransitionTime": now}
        story.world.cluster.report("churn", {"monitoring": late, "conditions": [found]})
        await story.settle()
        assert story.history == ["RetrainingStarted", "Retrained"]


async def test_broken_data_hold_a_run_back_but_nobody_who_asks_for_one() -> None:
    with loop() as story:
        await story.settle()
        story.found("DataQualityDegraded", "True")
        story.drifts()
        await story.settle(DAY)
        assert (story.condition, story.runs) == ("False/RetrainingBlocked", [])
        assert story.state["blocked"]["reason"] == "DataQualityDegraded"
        assert story.history == ["RetrainingBlocked"]
        story.ask("anyway")
        await story.settle()
        assert story.last["triggers"] == ["DataDrift", "ByHand"]


async def test_each_word_is_one_run_whatever_the_budget_says() -> None:
    with loop(triggers=[], maxPerWeek=1, cooldownSeconds=DAY) as story:
        await story.settle()
        story.ask("one")
        await story.train()
        assert story.last["outcome"] == "Promoted"
        await story.settle(DAY)
        assert len(story.runs) == 1
        story.ask("two")
        await story.settle()
        story.ask("three")
        story.world.clock.advance(DAY)
        await story.settle()
        assert len(story.runs) == 2, "one at a time"
        await story.train()
        await story.settle()
        assert (len(story.runs), story.last["outcome"]) == (3, "Running")


async def test_a_schedule_calls_once_whenever_it_is_due() -> None:
    with loop(triggers=[], schedule="0 3 * * *") as story:
        await story.settle()
        first = story.state["nextScheduledAt"]
        assert first == "2026-03-02T03:00:00Z"
        await story.settle(14 * 3600)
        assert story.runs == []
        await story.settle(3600)
        await story.train()
        assert (story.last["triggers"], story.last["outcome"]) == (["Schedule"], "Promoted")
        assert story.state["nextScheduledAt"] == "2026-03-03T03:00:00Z"
        await story.settle(DAY)
        assert len(story.runs) == 2
        story.world.clock.advance(10 * DAY)
        await story.settle()
        assert len(story.runs) == 2, "what became due meanwhile waits for the one under way"
        story.data, story.digests = "d", ["b"]
        await story.train()
        assert (story.last["outcome"], len(story.runs)) == ("NoNewData", 2)
        await story.settle(2 * COOLDOWN)
        assert len(story.runs) == 3, "and is made up for once"
        assert story.state["nextScheduledAt"] == "2026-03-14T03:00:00Z"


async def test_a_stale_model_is_trained_anew() -> None:
    with loop(triggers=[]) as story:
        story.change(monitoring={**MONITORING, "maxModelAgeSeconds": DAY})
        await story.settle()
        summary = story.world.summary(naming.DEPLOYMENTS, "churn")
        assert summary["ModelStale"] == "False/ModelCurrent"
        await story.settle(DAY)
        assert story.world.summary(naming.DEPLOYMENTS, "churn")["ModelStale"] == "True/ModelStale"
        assert story.runs == [], "Age is no trigger here"
        assert [entry["event"] for entry in story.status["history"]].count("ModelStale") == 1
        story.change(retraining={"trainingJob": "template", "triggers": ["Age"], "cooldownSeconds": COOLDOWN})
        await story.train()
        assert (story.last["triggers"], story.status["stable"]["version"]) == (["Age"], B)
        assert story.world.summary(naming.DEPLOYMENTS, "churn")["ModelStale"] == "False/ModelCurrent"
        assert [entry["event"] for entry in story.status["history"]][-2:] == ["ModelCurrent", "Retrained"]


async def test_a_model_grows_stale_without_retraining() -> None:
    with loop() as story:
        story.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].pop("retraining"))
        story.change(monitoring={**MONITORING, "maxModelAgeSeconds": DAY})
        await story.settle(2 * DAY)
        assert story.world.summary(naming.DEPLOYMENTS, "churn")["ModelStale"] == "True/ModelStale"
        assert [event["reason"] for event in story.world.cluster.events].count("ModelStale") == 1


@pytest.mark.parametrize("ended", [False, True], ids=["under way", "after its end"])
async def test_a_status_that_was_lost_is_made_up_from_the_runs(*, ended: bool) -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.settle()
        if ended:
            await story.train(gates=False)
        before = story.runs
        status = {key: value for key, value in story.status.items() if key != "retraining"}
        story.world.cluster.set_status(naming.DEPLOYMENTS, "churn", status)
        await story.settle(60)
        assert story.runs == before
        assert (story.state["episode"], story.last["triggers"]) == (1, ["DataDrift"])
        assert story.last["outcome"] == ("Rejected" if ended else "Running")


async def test_gates_not_passed_on_the_same_data_say_nothing_new() -> None:
    with loop() as story:
        await story.settle()
        story.data = "d"
        story.drifts()
        await story.train(gates=False)
        assert (story.last["outcome"], story.condition) == ("NoNewData", "False/DriftPersists")


async def test_a_pinned_version_is_told_of_its_update() -> None:
    with loop(model={"version": A}) as story:
        await story.settle()
        story.drifts()
        await story.train()
        assert (story.last["outcome"], story.status["stable"]["version"]) == ("UpdateAvailable", A)
        assert story.world.summary(naming.DEPLOYMENTS, "churn")["UpdateAvailable"] == "True/UpdateAvailable"
        await story.settle(10 * DAY)
        assert len(story.runs) == 1, "first somebody has to take it"
        story.change(model={"version": B})
        await story.settle()
        assert (story.last["outcome"], story.condition) == ("Promoted", "False/Retrained")
        assert "UpdateAvailable" not in story.world.summary(naming.DEPLOYMENTS, "churn")


async def test_only_so_many_finished_runs_are_kept() -> None:
    with loop(cooldownSeconds=60, maxPerWeek=50, historyLimit=2) as story:
        await story.settle()
        story.drifts()
        names = []
        for _ in range(5):
            await story.train(gates=False)
            names.append(story.last["name"])
            await story.settle(300)
        assert story.last["outcome"] == "Running"
        assert story.runs == [*names[-2:], story.last["name"]]


async def test_without_the_spec_nothing_more_happens_and_nothing_is_forgotten() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.train()
        before = story.state
        rules = story.world.get(naming.DEPLOYMENTS, "churn")["spec"]["retraining"]
        story.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].pop("retraining"))
        story.drifts()
        await story.settle(10 * DAY)
        assert "Retraining" not in story.world.summary(naming.DEPLOYMENTS, "churn")
        assert story.state == before
        story.change(retraining={**rules, "triggers": ["DataDrift"], "maxPerWeek": 4})
        await story.settle()
        assert len(story.runs) == 2
        assert story.state["episode"] == 2


async def test_a_run_that_does_not_get_on_says_why() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.settle()
        [run] = story.runs
        said = story.message
        assert said == f"TrainingJob {run} trains: DataDrift"
        story.world.cluster.edit(naming.TRAINING_JOBS, run, lambda raw: raw["spec"].update(suspend=True))
        await story.settle()
        assert (story.condition, "was suspended" in story.message) == ("True/RetrainingRunning", True)
        story.world.cluster.edit(naming.TRAINING_JOBS, run, lambda raw: raw["spec"].update(suspend=False))
        await story.settle()
        assert story.message == said
        claim = {"type": "PodScheduled", "status": "False", "message": 'persistentvolumeclaim "lake" not found'}
        kubelet.put_pod(story.world.cluster, story.world.jobs()[0], {"phase": "Pending", "conditions": [claim]})
        await story.settle()
        assert "VolumeClaimNotFound" in story.message


async def test_a_run_that_is_deleted_has_failed_and_is_not_made_again_within_the_cooldown() -> None:
    with loop() as story:
        await story.settle()
        story.drifts()
        await story.settle()
        [run] = story.runs
        story.world.cluster.remove(naming.TRAINING_JOBS, run)
        await story.settle(COOLDOWN - 120)
        assert (story.last["outcome"], story.runs) == ("Failed", [])
        assert "was deleted" in story.last["message"]
        await story.settle(600)
        [again] = story.runs
        assert again != run


async def test_a_run_that_the_api_server_refuses_stalls_nothing_else() -> None:
    with loop() as story:
        await story.settle()
        story.world.cluster.fail(
            Refused("TrainingJob", "x", 403, "exceeded quota"), verb="apply", resource=naming.TRAINING_JOBS, times=50
        )
        story.drifts()
        await story.settle(300)
        assert (story.condition, story.runs) == ("False/RetrainingBlocked", [])
        assert story.world.summary(naming.DEPLOYMENTS, "churn")["Ready"] == "True/Available"
        assert story.state["blocked"]["reason"] in {"QuotaExceeded", "Forbidden"}
        story.world.cluster.faults.clear()
        await story.settle(120)
        assert story.condition == "True/RetrainingRunning"


async def test_at_rest_nothing_is_written() -> None:
    with loop(schedule="0 3 1 1 *") as story:
        await story.settle()
        story.drifts()
        await story.train(gates=False)
        story.found("DataDriftDetected", "False")
        await story.settle(DAY)
        writes = len(story.world.cluster.writes())
        await story.settle(5 * DAY)
        await story.world.restart()
        await story.settle(5 * DAY)
        assert story.world.cluster.writes()[writes:] == []
