"""Rows on what users see of their objects."""

from __future__ import annotations

import json
import time
from typing import Any

import yaml

from tests.checklist.row import DEPLOYMENT, NAME, NotHeldError, Row, World, must
from tests.cluster.settings import REPOSITORY
from tests.e2e.fixtures import DEPLOYMENTS, VERSIONS, condition, deployment, is_true, model_version
from tests.support.installation import NAMESPACE as SYSTEM

_QUICKSTART = str(REPOSITORY / "examples" / "quickstart")
_QUIET_SECONDS, _SETTLING_SECONDS = 300.0, 120.0
_HEALING_SECONDS, _HEALING_PAUSE_SECONDS = 180.0, 3.0
_OPERATOR, _MONITOR = "modelwright", "modelwright-monitor"
# Needs definitions that are not ours.
_FOREIGN = {"gateway", "gitops", "argo-workflows"}


def _ready(world: World) -> str:
    return world.kubectl("wait", "--for=condition=Ready", DEPLOYMENT, "--timeout=5m", timeout=320).strip()


def _complete(world: World) -> str:
    return world.kubectl("wait", "--for=condition=Complete", f"trainingjob/{NAME}", "--timeout=60s").strip()


def _stale_guard(world: World) -> str:
    world.kubectl("patch", DEPLOYMENT, "--type=merge", "-p", '{"spec": {"replicas": 3}}')
    generation = world.deployment()["metadata"]["generation"]
    seen = world.cluster.wait(DEPLOYMENTS, NAME, world.namespace, is_true("Ready"), deadline=90)
    observed = condition(seen, "Ready")["observedGeneration"]
    must(observed == generation == seen["status"]["observedGeneration"], (generation, observed))
    return f"generation {generation} was awaited and observed"


def _fails_fast(world: World) -> str:
    missing = model_version("nowhere", "no/such/folder")
    served = deployment("nowhere", {"version": "nowhere"})
    began = time.monotonic()
    world.cluster.apply([missing, served], world.namespace)
    said = world.kubectl("wait", "--for=condition=Stalled", "modelversion/nowhere", "--timeout=60s").strip()
    world.kubectl("delete", "modeldeployment/nowhere")
    return f"{said} after {time.monotonic() - began:.0f} s"


def _managers(world: World) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for entry in world.deployment()["metadata"]["managedFields"]:
        found.setdefault(entry["manager"], []).append(entry)
    return found


def _own_managers(world: World) -> str:
    world.kubectl("patch", DEPLOYMENT, "--type=merge", "-p", '{"spec": {"monitoring": {"drift": {}}}}')

    def both(seen: Any) -> bool:
        kinds = {item["type"] for item in ((seen or {}).get("status") or {}).get("conditions") or ()}
        return {"Ready", "DataDriftDetected"} <= kinds

    world.cluster.wait(DEPLOYMENTS, NAME, world.namespace, both, deadline=90)
    managers = _managers(world)
    owned = {
        name: {kind for entry in managers.get(name, ()) for kind in _conditions_of(entry["fieldsV1"])}
        for name in (_OPERATOR, _MONITOR)
    }
    must(all(owned.values()) and not owned[_OPERATOR] & owned[_MONITOR], owned)
    return "; ".join(f"{name}: {len(kinds)} conditions" for name, kinds in owned.items())


def _conditions_of(fields: dict[str, Any]) -> list[str]:
    found = fields.get("f:status", {}).get("f:conditions", {})
    return [key for key in found if key.startswith("k:")]


def _spec_untouched(world: World) -> str:
    managers = _managers(world)
    owned = [
        name for name in (_OPERATOR, _MONITOR) for entry in managers.get(name, ()) if "f:spec" in entry["fieldsV1"]
    ]
    must(not owned, owned)
    return "neither manages f:spec"


def _owned(world: World) -> str:
    children = [
        child
        for kind in ("deployments.apps", "services", "poddisruptionbudgets.policy", "jobs.batch")
        for child in world.cluster.find(kind, world.namespace, "app.kubernetes.io/managed-by=modelwright")
    ]
    owners = [
        [one["kind"] for one in child["metadata"].get("ownerReferences", ()) if one.get("controller")]
        for child in children
    ]
    must(children and all(len(found) == 1 for found in owners), owners)
    return f"{len(children)} children, one controller each; that deleting leaves none: row 21"


def _no_stuck_deletes(world: World) -> str:
    _replicas(world, 0)
    try:
        world.kubectl("delete", DEPLOYMENT, "--timeout=30s")
        selector = f"modelwright.dev/kind=Deployment,modelwright.dev/name={NAME}"
        end = time.monotonic() + 60
        while left := world.kubectl("get", "deployments.apps,services,pdb,pods", "-l", selector, "-o", "name").split():
            if time.monotonic() > end:
                message = f"after 60 s there are {left}"
                raise NotHeldError(message)
            time.sleep(0.5)
    finally:
        _replicas(world, 1)
    world.kubectl("apply", "-f", _QUICKSTART)
    world.cluster.wait(DEPLOYMENTS, NAME, world.namespace, is_true("Ready"), deadline=120)
    return "deleted while there was no operator; no child left"


def _replicas(world: World, count: int) -> None:
    workload = f"deployment.apps/{world.installation.workload}"
    world.cluster.kubectl("scale", workload, f"--replicas={count}", "-n", SYSTEM)
    if count:
        world.cluster.kubectl("rollout", "status", workload, "-n", SYSTEM, "--timeout=90s")
        return
    selector = "app.kubernetes.io/name=modelwright"
    world.cluster.kubectl("wait", "--for=delete", "pod", "-l", selector, "-n", SYSTEM, "--timeout=60s")


def _events(world: World) -> str:
    found = json.loads(world.kubectl("get", "events", "-o", "json"))["items"]
    ours = [
        (item["involvedObject"]["kind"], item["reason"], item.get("message"), item["involvedObject"].get("uid"))
        for item in found
        if item["involvedObject"].get("apiVersion", "").startswith("modelwright.dev")
    ]
    must(ours and len(set(ours)) == len(ours), [each for each in ours if ours.count(each) > 1])
    world.kubectl("events", "--for", f"trainingjob/{NAME}")
    return f"{len(ours)} events, no two alike"


def _scale(world: World) -> str:
    world.kubectl("scale", DEPLOYMENT, "--replicas=3")
    seen = world.cluster.wait(DEPLOYMENTS, NAME, world.namespace, is_true("Ready"), deadline=90)
    must(seen["spec"]["replicas"] == 3, seen["spec"])

    def all_ready(workload: Any) -> bool:
        return bool(workload) and workload["status"].get("readyReplicas") == 3

    world.cluster.wait("deployments.apps", _workload(world), world.namespace, all_ready)
    world.kubectl("scale", DEPLOYMENT, "--replicas=2")
    return "3 pods ready; an HPA scales it in tests/e2e/test_autoscaling.py"


def _workload(world: World) -> str:
    stable = world.deployment()["status"]["stable"]["revision"]
    return f"{NAME}-{stable}"


def _rules(world: World) -> str:
    weight = deployment("heavy", {"name": "m"}, rollout={"steps": [{"weight": 101}]})
    two = model_version("two")
    two["spec"]["artifact"] |= {"path": "also"}
    changed = '{"spec": {"description": "another", "model": "another"}}'
    version = world.deployment()["status"]["stable"]["version"]
    said = [
        world.refused("apply", "-f", "-", stdin=yaml.safe_dump(weight)),
        world.refused("apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(two)),
        world.refused("patch", f"{VERSIONS}/{version}", "--type=merge", "-p", changed),
    ]
    created = world.kubectl("get", "modeldeployment/heavy", "modelversion/two", "--ignore-not-found", "-o", "name")
    must(not created, created)
    kept = world.cluster.get(VERSIONS, version, world.namespace) or {}
    must(kept["spec"]["model"] != "another", said)
    return "weight 101, an unknown source, and another spec of a ModelVersion: none taken"


def _dry_run(world: World) -> str:
    folders = sorted(path for path in (REPOSITORY / "examples").iterdir() if path.is_dir())
    ran = [path for path in folders if path.name not in _FOREIGN and list(path.glob("*.yaml"))]
    for path in ran:
        world.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", str(path))
    return f"{len(ran)} examples; not {', '.join(sorted(_FOREIGN))}, which need other definitions"


def _diff(world: World) -> str:
    """Apply over and over, as GitOps controllers do that heal what differs."""
    world.kubectl("apply", "-f", _QUICKSTART)
    world.cluster.wait(DEPLOYMENTS, NAME, world.namespace, is_true("Ready"), deadline=90)
    before = _settled(world)
    end, count = time.monotonic() + _HEALING_SECONDS, 0
    while time.monotonic() < end:
        world.kubectl("apply", "-f", _QUICKSTART)
        count += 1
        time.sleep(_HEALING_PAUSE_SECONDS)
    said = world.kubectl("diff", "-f", _QUICKSTART)
    must(not said.strip(), said)
    after = _versions(world)
    must(before == after, {name for name in before if before[name] != after.get(name)})
    return f"empty; {count} times applied in {_HEALING_SECONDS / 60:.0f} min, and {len(before)} objects unchanged"


def _settled(world: World) -> dict[str, str]:
    """Return the objects' versions once pods of the rows before have ended."""
    end = time.monotonic() + _SETTLING_SECONDS
    while (before := _versions(world)) and time.monotonic() < end:
        time.sleep(10)
        if _versions(world) == before:
            break
    return before


def _versions(world: World) -> dict[str, str]:
    """Return the resourceVersion of each object that stays: a Job that verified a version goes by its time to live."""
    kinds = "trainingjobs,modelversions,modeldeployments,deployments.apps,services,jobs,pdb"
    items = json.loads(world.kubectl("get", kinds, "-o", "json"))["items"]
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in items
        if "ttlSecondsAfterFinished" not in item["spec"]
    }


def _silence(world: World) -> str:
    before = _settled(world)
    time.sleep(_QUIET_SECONDS)
    after = _versions(world)
    must(before == after, {name for name in before if before[name] != after.get(name)})
    return f"{len(before)} objects unchanged for {_QUIET_SECONDS / 60:.0f} min"


ROWS = (
    Row(13, "ready wait", f"kubectl wait --for=condition=Ready {DEPLOYMENT} --timeout=5m", _ready),
    Row(14, "job wait", f"kubectl wait --for=condition=Complete trainingjob/{NAME}", _complete),
    Row(22, "events", "kubectl events: each transition once", _events),
    Row(15, "stale guard", "edit the spec; status.observedGeneration follows metadata.generation", _stale_guard),
    Row(16, "fast failure", "kubectl wait --for=condition=Stalled --timeout=60s", _fails_fast),
    Row(19, "user fields untouched", "kubectl get --show-managed-fields: no f:spec of the operator", _spec_untouched),
    Row(23, "scale", f"kubectl scale {DEPLOYMENT} --replicas=3", _scale),
    Row(24, "refused input", "kubectl apply: weight 101, two sources, another spec", _rules),
    Row(25, "dry run", "kubectl apply --server-side --dry-run=server -f examples/…", _dry_run),
    Row(26, "diff quiet", "kubectl apply, every 3 s for 3 min; kubectl diff -f examples/quickstart", _diff),
    Row(20, "ownership", "kubectl get … -o yaml: one controller ownerReference", _owned),
    Row(17, "idle silence", "resourceVersion over 5 min without input", _silence),
    Row(18, "own managers", "kubectl get --show-managed-fields: operator and monitor", _own_managers),
    Row(21, "no stuck deletes", f"operator scaled to 0: kubectl delete {DEPLOYMENT} --timeout=30s", _no_stuck_deletes),
)
