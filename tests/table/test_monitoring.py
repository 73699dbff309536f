"""Monitoring: what the operator renders for it, and what it writes where no sidecar can."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_monitor.report import Rules
from modelwright_operator import api, naming
from modelwright_operator.decide.monitoring import ruling, turns
from modelwright_operator.reasons import Reason
from modelwright_server.contract import monitoring
from modelwright_server.contract.monitoring import MonitoringReason
from tests.support import builders as make
from tests.support.clock import START
from tests.table import rollouts
from tests.table.planning import Planned, planned, revision_of, service_of, workload_of

if TYPE_CHECKING:
    from tests.support.traffic import Traffic

Raw = dict[str, Any]

A, B = make.verified("a", age_seconds=100), make.verified("b", age_seconds=50)
NAME_A, NAME_B = A.raw["metadata"]["name"], B.raw["metadata"]["name"]
RULES: Raw = {"window": {"rows": 1000, "minSeconds": 10, "maxSeconds": 300}}
CLOSED_AT = START - timedelta(seconds=30)


def rfc3339(time: Any) -> str:
    return str(time.strftime("%Y-%m-%dT%H:%M:%SZ"))


def window(sequence: int = 7, **fields: Any) -> Raw:
    closed = {"sequence": sequence, "rows": 1000, "closedAt": rfc3339(CLOSED_AT), "closedBy": "churn-x", **fields}
    return {"window": closed, "digest": make.digest("a"), "total": {"windows": 7, "rows": 7000, "lost": 3}}


def serving(*, rules: Raw | None = RULES, **status: Any) -> make.Maker:
    """Return a Deployment that serves A, and is monitored unless the rules are None."""
    subject = make.deployment(version=NAME_A)
    if rules is not None:
        subject = subject.spec(monitoring=rules)
    return subject.status(stable=revision_of(subject, A), **status).condition("Ready", reason="Available")


def found(subject: make.Maker, *marks: tuple[str, str, str]) -> make.Maker:
    for kind, status, reason in marks:
        subject = subject.condition(kind, status, reason)
    return subject


QUIET = (
    (monitoring.MONITORING_HEALTHY, "True", "WindowsClose"),
    (monitoring.DATA_DRIFT, "False", "NoDrift"),
    (monitoring.PREDICTION_DRIFT, "False", "NoDrift"),
    (monitoring.DATA_QUALITY, "False", "DataAsExpected"),
)


def passed(subject: make.Maker, *others: Any) -> Planned:
    return planned(subject, A, B, workload_of(subject, A), service_of(subject, A), *others)


def written(plan: Planned) -> dict[str, str]:
    part = plan.plan.monitor
    assert part is not None
    return {item["type"]: f"{item['status']}/{item['reason']}" for item in part["conditions"]}


def deployment_of(subject: make.Maker) -> api.Deployment:
    return api.Deployment.model_validate(subject.stored())


def test_without_monitoring_nothing_is_rendered_or_written() -> None:
    plan = passed(serving(rules=None))
    assert "Service/churn-monitor" not in plan.applies
    assert plan.plan.monitor is None


def test_monitoring_brings_a_headless_service_of_all_pods_and_says_that_it_begins() -> None:
    plan = passed(serving())
    assert "Service/churn-monitor" in plan.applies
    [manifest] = [item.manifest for item in plan.plan.apply if item.name == "churn-monitor"]
    spec = manifest["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert naming.LABEL_REVISION not in spec["selector"], "a canary's pods exchange windows, too"
    assert written(plan) == dict.fromkeys((item[0] for item in QUIET), "Unknown/AwaitingFirstWindow")
    assert plan.plan.monitor is not None
    assert plan.plan.monitor["monitoring"] == {"window": {"sequence": 0, "rows": 0}}


def test_what_the_sidecars_wrote_is_left_alone() -> None:
    told = [{"type": kind, "status": status} for kind, status, _ in sorted(QUIET)]
    subject = found(serving(monitoring=window(), announced=told), *QUIET)
    plan = passed(subject, _monitor_service(subject))
    assert plan.plan.monitor is None
    settled = passed(subject.status(**plan.status) if plan.plan.status else subject, _monitor_service(subject))
    kept = {item["type"] for item in (plan.plan.status or {}).get("conditions", ())}
    assert not kept & set(monitoring.CONDITIONS), "the operator's part has none of the sidecars' conditions"
    assert "monitoring" not in (plan.plan.status or {})
    assert settled.plan.monitor is None


def _monitor_service(subject: make.Maker) -> Raw:
    plan = passed(subject)
    [manifest] = [item.manifest for item in plan.plan.apply if item.name == "churn-monitor"]
    return make.stored(manifest)


def test_after_a_promotion_the_windows_begin_anew_and_their_numbers_go_on() -> None:
    report = {**window(), "digest": make.digest("b")}
    plan = passed(found(serving(monitoring=report), *QUIET))
    assert set(written(plan).values()) == {"Unknown/BaselineChanged"}
    assert plan.plan.monitor is not None
    assert plan.plan.monitor["monitoring"] == {"window": {"sequence": 7, "rows": 0}}


@pytest.mark.parametrize(
    ("seconds", "stale"), [(0, False), (2 * 300 + 119, False), (2 * 300 + 120, True), (10**6, True)]
)
def test_a_report_becomes_stale_and_is_looked_at_then(seconds: int, *, stale: bool) -> None:
    deployment = deployment_of(found(serving(monitoring=window()), *QUIET))
    now = CLOSED_AT + timedelta(seconds=seconds)
    decided = ruling(deployment, now)
    assert (decided.part is not None) is stale
    if not stale:
        assert decided.look_seconds == 2 * 300 + 120 - seconds
        return
    assert decided.part is not None
    assert {item["reason"] for item in decided.part["conditions"]} == {"ReportStale"}
    assert {item["status"] for item in decided.part["conditions"]} == {"Unknown"}
    assert decided.part["monitoring"]["total"] == {"windows": 7, "rows": 7000, "lost": 3}, "figures stay"
    aged = serving(monitoring=decided.part["monitoring"])
    for item in decided.part["conditions"]:
        aged = aged.condition(item["type"], item["status"], item["reason"])
    assert ruling(deployment_of(aged), now).part is None, "it is said once"


def test_switched_off_nothing_stays() -> None:
    told = [{"type": kind, "status": status} for kind, status, _ in QUIET]
    subject = found(serving(rules=None, monitoring=window(), announced=told), *QUIET)
    service = _monitor_service(found(serving(monitoring=window()), *QUIET))
    plan = passed(subject, service)
    assert plan.plan.monitor == {}
    assert "Service/churn-monitor" in plan.deletes
    gone = passed(serving(rules=None, announced=told))
    assert "announced" not in gone.status


def test_conditions_written_by_hand_without_monitoring_are_nobodys() -> None:
    assert passed(found(serving(rules=None), *QUIET)).plan.monitor is None


def test_each_turn_is_told_once_and_by_an_event() -> None:
    told = [{"type": kind, "status": status} for kind, status, _ in QUIET]
    drifted = [*QUIET[:1], (monitoring.DATA_DRIFT, "True", "DriftDetected"), *QUIET[2:]]
    subject = found(serving(monitoring=window(), announced=told), *drifted)
    plan = passed(subject)
    assert "Warning/DriftDetected" in plan.events
    assert [item["event"] for item in plan.status["history"]] == ["DriftDetected"]
    assert plan.status["history"][0]["message"].startswith("DataDriftDetected is True: ")
    again = deployment_of(subject.status(announced=plan.status["announced"]))
    assert turns(again) == ()


def test_what_turns_for_the_better_at_once_is_one_line_and_an_event_each() -> None:
    told = [{"type": kind, "status": status} for kind, status, _ in QUIET]
    anew = [(kind, "Unknown", "BaselineChanged") for kind, _, _ in QUIET]
    subject = found(serving(monitoring=window(), announced=told), *anew)
    plan = passed(subject)
    [line] = plan.status["history"]
    assert line["event"] == "BaselineChanged"
    names = ", ".join(kind for kind, _, _ in (*QUIET[1:], QUIET[0]))
    assert line["message"].startswith(f"{names} are Unknown: "), "said alike, it is said once"
    assert sum(event.endswith("/BaselineChanged") for event in plan.events) == len(QUIET)

    back = [*QUIET[:2], (monitoring.PREDICTION_DRIFT, "True", "DriftDetected"), *QUIET[3:]]
    subject = found(serving(monitoring=window(), announced=plan.status["announced"]), *back)
    bad, calm = passed(subject).status["history"]
    assert (bad["event"], calm["event"]) == ("DriftDetected", "NoDrift")
    assert bad["message"].startswith("PredictionDriftDetected is True: ")
    for kind, status, _ in (QUIET[0], QUIET[1], QUIET[3]):
        assert kind in calm["message"], status
    assert len(calm["message"]) <= 1024


def test_the_first_word_on_a_condition_is_no_turn_unless_it_is_bad() -> None:
    plan = passed(found(serving(monitoring=window()), *QUIET))
    assert "history" not in plan.status
    assert len(plan.status["announced"]) == 4
    bad = passed(found(serving(monitoring=window()), (monitoring.MONITORING_HEALTHY, "False", "NoBaseline")))
    assert [item["event"] for item in bad.status["history"]] == ["NoBaseline"]


def test_what_drifts_serves_as_before() -> None:
    drifted = found(serving(monitoring=window()), (monitoring.DATA_DRIFT, "True", "DriftDetected"))
    assert passed(drifted).conditions["Ready"] == "True/Available"


def test_every_reason_of_the_sidecars_is_one_of_ours() -> None:
    assert {item.value for item in MonitoringReason} <= {item.value for item in Reason}


def own(traffic: Traffic) -> Raw:
    found: Raw = traffic.world.get(naming.DEPLOYMENTS, "churn")
    return found


async def report(traffic: Traffic, *marks: tuple[str, str, str]) -> None:
    """Write what a sidecar does when it closes a window."""
    seen = own(traffic)
    now = rfc3339(START + timedelta(seconds=traffic.world.clock.seconds()))
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": "m", "lastTransitionTime": now}
        for kind, status, reason in marks
    ]
    document = {
        "window": {"sequence": 1, "rows": 1000, "closedAt": now, "closedBy": "churn-x"},
        "digest": seen["status"]["stable"]["digest"],
    }
    metadata = {name: seen["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
    written = {"monitoring": document, "conditions": conditions}
    await traffic.world.cluster.apply_status(naming.DEPLOYMENTS, metadata, written, monitoring.FIELD_MANAGER)


def statuses(traffic: Traffic) -> int:
    """Return how often a status was written."""
    return sum(call.verb == "apply_status" for call in traffic.world.cluster.writes())


def told(traffic: Traffic) -> dict[str, str]:
    known = own(traffic)["status"]["conditions"]
    return {item["type"]: item["reason"] for item in known if item["type"] in monitoring.CONDITIONS}


@pytest.mark.asyncio
async def test_a_report_is_begun_left_alone_aged_and_taken_away_and_each_is_written_once() -> None:
    async with rollouts.serving(monitoring=RULES) as traffic:
        await traffic.flow(30)
        assert set(told(traffic).values()) == {"AwaitingFirstWindow"}
        assert traffic.world.get(naming.SERVICES, "churn-monitor")
        writes = statuses(traffic)
        await traffic.flow(3000)
        assert statuses(traffic) == writes, "nothing is written while no window closes"

        await report(traffic, *QUIET)
        await traffic.flow(60)
        assert told(traffic) == {kind: reason for kind, _, reason in QUIET}
        assert own(traffic)["status"]["monitoring"]["window"]["rows"] == 1000
        assert statuses(traffic) == writes + 2, "the sidecar's, and what was told of it"

        await traffic.flow(800)
        assert set(told(traffic).values()) == {"ReportStale"}
        assert own(traffic)["status"]["monitoring"]["window"]["rows"] == 1000
        aged = statuses(traffic)
        await traffic.flow(3000)
        assert statuses(traffic) == aged

        traffic.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].pop("monitoring"))
        await traffic.flow(60)
        assert told(traffic) == {}
        assert "monitoring" not in own(traffic)["status"]
        assert "announced" not in own(traffic)["status"]
        services = {item["metadata"]["name"] for item in traffic.world.cluster.all(naming.SERVICES)}
        assert "churn-monitor" not in services


def test_the_sidecars_defaults_are_those_of_the_api() -> None:
    default = api.Monitoring()
    both = {**default.window.model_dump(), **default.drift.model_dump()}
    assert asdict(Rules()) == both
    assert Rules.from_document({}) == Rules()
    assert Rules.from_document(default.model_dump(mode="json", by_alias=True)) == Rules()
    assert Rules.from_document({"window": {"rows": 7}, "drift": {"toleratedPSI": 0, "of": 5}}) == Rules(
        rows=7, tolerated_psi=0, of=5
    )
