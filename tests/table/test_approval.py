"""Approval: which versions may serve, and what is said of those that may not (any more)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support import builders as make
from tests.table.planning import Planned, planned, revision_of, service_of, workload_of

Raw = dict[str, Any]

ALL = replace(make.SETTINGS, approval_required_from="Low")
HIGH = replace(make.SETTINGS, approval_required_from="High")
BACK = replace(ALL, approval_on_revocation="RollBack")
APPROVED = {"state": "Approved", "by": "ana", "reason": "validated"}
REJECTED = {"state": "Rejected", "by": "ana", "reason": "leaks the target"}


def version(seed: str, age: int = 0, approval: Raw | None = None, **spec: Any) -> make.Maker:
    made = make.verified(seed, age_seconds=age)
    return made.spec(approval=approval, **spec)


def name_of(maker: make.Maker) -> str:
    return str(maker.raw["metadata"]["name"])


def following(follow: str = "LatestApproved") -> make.Maker:
    return make.deployment().spec(model={"name": "churn", "follow": follow})


def serving(subject: make.Maker, stable: make.Maker) -> tuple[make.Maker, tuple[Any, ...]]:
    """Return a Deployment that a version answers for, and its children."""
    subject = subject.status(stable=revision_of(subject, stable)).condition("Ready", reason="Available")
    return subject, (workload_of(subject, stable), service_of(subject, stable))


def brings_up(plan: Planned) -> str | None:
    """Return the version that gets pods beside what serves."""
    canary = plan.status.get("canary")
    return canary["version"] if canary else None


@pytest.mark.parametrize(
    ("tier", "approval", "settings", "serves"),
    [
        (None, None, make.SETTINGS, True),
        (None, None, HIGH, False),
        ("Medium", None, HIGH, True),
        ("High", None, HIGH, False),
        ("High", APPROVED, HIGH, True),
        ("Low", None, ALL, False),
        ("Low", APPROVED, ALL, True),
        ("Low", REJECTED, make.SETTINGS, False),
    ],
)
def test_the_risk_tier_says_whether_an_approval_is_asked_for(
    tier: str | None, approval: Raw | None, settings: Any, serves: bool
) -> None:
    candidate = version("a", approval=approval, card={"riskTier": tier} if tier else None)
    for subject in (make.deployment(version=name_of(candidate)), following("Latest")):
        plan = planned(subject, candidate, settings=settings)
        assert (brings_up(plan) == name_of(candidate)) is serves
        assert bool(plan.applies) is serves


def test_a_version_that_waits_for_an_approval_is_no_failure_and_says_how_to_give_it() -> None:
    candidate = version("a")
    plan = planned(make.deployment(version=name_of(candidate)), candidate, settings=ALL)
    assert plan.conditions == {
        "Ready": "False/ApprovalRequired",
        "ApprovalRequired": "True/ApprovalRequired",
        "Available": "False/Unavailable",
    }
    assert f"kubectl patch mv {name_of(candidate)}" in plan.messages
    assert plan.events.count("Normal/ApprovalRequired") == 2, "Ready's and the version's"
    assert plan.status["history"][-1]["event"] == "ApprovalRequired"


def test_it_is_said_once() -> None:
    candidate = version("a")
    subject = make.deployment(version=name_of(candidate))
    first = planned(subject, candidate, settings=ALL)
    again = planned(subject.status(**first.status), candidate, settings=ALL)
    assert not again.plan.writes
    assert again.plan.requeue_after is None, "the version's own change wakes the Deployment"


def test_what_serves_goes_on_while_a_newer_version_waits() -> None:
    old, new = version("a", 100, APPROVED), version("b", 50)
    subject, children = serving(following(), old)
    plan = planned(subject, old, new, *children)
    assert brings_up(plan) is None
    assert plan.conditions["Ready"] == "True/Available"
    assert plan.conditions["ApprovalRequired"] == "True/ApprovalRequired"
    assert name_of(new) in plan.messages
    approved = planned(subject, old, version("b", 50, APPROVED), *children)
    assert brings_up(approved) == name_of(new)
    assert "ApprovalRequired" not in approved.conditions


def test_a_rejected_or_archived_version_is_passed_over() -> None:
    old = version("a", 100, APPROVED)
    for other in (version("b", 50, REJECTED), version("b", 50, APPROVED, archived=True)):
        subject, children = serving(following("Latest"), old)
        plan = planned(subject, old, other, *children)
        assert brings_up(plan) is None
        assert plan.conditions["Ready"] == "True/Available"
        assert "ApprovalRequired" not in plan.conditions
        pin = planned(make.deployment(version=name_of(other)), other)
        assert pin.conditions["Stalled"] in {"True/ApprovalRejected", "True/Archived"}


def test_what_lost_its_approval_goes_on_and_an_alarm_is_raised() -> None:
    told = [{"at": "2026-01-01T00:00:00Z", "event": "Approved", "message": ""}]
    older = version("a", 100, APPROVED)
    for lost in (version("b", 50, REJECTED), version("b", 50).status(history=told)):
        subject, children = serving(following(), lost)
        plan = planned(subject, older, lost, *children)
        assert brings_up(plan) is None
        assert plan.conditions["ApprovalRequired"] == "True/ApprovalRevoked"
        assert plan.conditions["Ready"] == "True/Available"
        assert "Warning/ApprovalRevoked" in plan.events


@pytest.mark.parametrize("pinned", [True, False])
def test_it_is_replaced_where_the_settings_say_so(pinned: bool) -> None:
    older, lost = version("a", 100, APPROVED), version("b", 50, REJECTED)
    subject = make.deployment(version=name_of(lost)) if pinned else following()
    subject, children = serving(subject, lost)
    subject = subject.status(previous=revision_of(subject, older))
    plan = planned(subject, older, lost, *children, settings=BACK)
    assert brings_up(plan) == name_of(older)


def test_a_canary_that_loses_its_approval_is_withdrawn() -> None:
    old, new = version("a", 100, APPROVED), version("b", 50, REJECTED)
    steps = {"steps": [{"weight": 10, "hold": {"minSeconds": 60}}]}
    for reference in ({"version": name_of(new)}, {"name": "churn", "follow": "LatestApproved"}):
        subject, children = serving(following().spec(model=reference, rollout=steps), old)
        canary = revision_of(subject, new)
        under_way = planned(subject, old, version("b", 50, APPROVED), *children)
        assert brings_up(under_way) == name_of(new)
        subject = subject.status(**under_way.status)
        plan = planned(subject, old, new, *children, workload_of(subject, new))
        assert brings_up(plan) is None
        assert plan.status["rollout"]["phase"] == "Withdrawn"
        assert plan.status["rollout"]["revision"] == canary["revision"]


def test_a_version_tells_who_decided_and_remembers() -> None:
    plan = planned(version("a"), settings=ALL)
    assert plan.conditions["Approved"] == "False/ApprovalRequired"
    subject = version("a", approval=APPROVED).status(**plan.status)
    approved = planned(subject, settings=ALL)
    assert approved.conditions["Approved"] == "True/Approved"
    assert [(item["event"], item["message"]) for item in approved.status["history"][-1:]] == [
        ("Approved", "approved by ana: validated")
    ]
    assert "Normal/Approved" in approved.events
    assert not planned(subject.status(**approved.status), settings=ALL).plan.writes
    withdrawn = planned(version("a").status(**approved.status), settings=ALL)
    assert withdrawn.status["history"][-1]["event"] == "ApprovalRevoked"
    assert "approved by ana" in withdrawn.status["history"][-1]["message"]
    assert "Warning/ApprovalRevoked" in withdrawn.events


def test_archiving_is_remembered_both_ways() -> None:
    archived = planned(version("a", archived=True))
    assert archived.status["history"][-1]["event"] == "Archived"
    again = version("a", archived=True).status(**archived.status)
    assert not planned(again).plan.writes
    restored = planned(version("a").status(**archived.status))
    assert restored.status["history"][-1]["event"] == "Restored"


def test_the_history_is_bounded() -> None:
    many = [{"at": "2026-01-01T00:00:00Z", "event": "InUse", "message": str(at)} for at in range(50)]
    plan = planned(version("a", approval=APPROVED).status(history=many))
    assert len(plan.status["history"]) == 50
    assert plan.status["history"][-1]["event"] == "Approved"
