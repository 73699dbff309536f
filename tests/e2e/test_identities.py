"""What every identity may do, asked of the API server itself: `kubectl auth can-i --list`, beside a list kept here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, claim, deployment, is_true
from tests.support.installation import NAMESPACE, RELEASE

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.cluster

FOLDER = Path(__file__).parent / "identities"
USERS = ("view", "edit", "approve")


def binding(role: str) -> Object:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": f"{RELEASE}-{role}"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": role}],
    }


def listed(team: Team, who: str, namespace: str) -> str:
    """Return what somebody may do in a namespace, a line for each rule; without what anybody may who logs in."""
    said = team.cluster.kubectl("auth", "can-i", "--list", "--namespace", namespace, "--as", who).splitlines()
    starts = [said[0].index(title) for title in ("Resources", "Non-Resource URLs", "Resource Names", "Verbs")]
    lines: list[str] = []
    for line in said[1:]:
        resource, url, names, verbs = (
            line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)
        )
        if resource and not resource.startswith("self"):
            named = "" if names == "[]" else f" {names}"
            lines.append(f"{resource}{named}: {' '.join(sorted(verbs.strip('[]').split()))}")
        assert not url.startswith("[*"), line
    return "".join(f"{line}\n" for line in sorted(lines)).replace(namespace, "NAMESPACE")


def test_every_identity_may_do_what_is_listed_and_nothing_else(team: Team, pytestconfig: pytest.Config) -> None:
    team.apply(claim(), deployment("served", {"name": "cancer", "follow": "Latest"}), *map(binding, USERS))
    team.train("first")
    team.wait(DEPLOYMENTS, "served", is_true("Ready"))
    account, other = f"system:serviceaccount:{NAMESPACE}:{RELEASE}", "kube-public"
    asked: Mapping[str, tuple[str, str]] = {
        "operator": (account, team.namespace),
        "operator-at-home": (account, NAMESPACE),
        "sidecar": (f"system:serviceaccount:{team.namespace}:modelwright-monitor", team.namespace),
        "sidecar-elsewhere": (f"system:serviceaccount:{team.namespace}:modelwright-monitor", other),
        "training": (f"system:serviceaccount:{team.namespace}:default", team.namespace),
        **{user: (user, team.namespace) for user in USERS},
        "edit-elsewhere": ("edit", other),
    }
    found = {name: listed(team, *each) for name, each in asked.items()}
    if pytestconfig.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        for name, text in found.items():
            (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
    kept = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt")}
    assert found == kept, "if that is meant, pytest --update-golden"
    for text in found.values():
        assert "*" not in text, "no wildcard"
        assert "secrets" not in text, "nobody is given Secrets"
