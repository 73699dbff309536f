"""Rows on the checkout and on the definitions of the three kinds."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.checklist.row import Row, World, must, run
from tests.cluster.settings import REPOSITORY
from tests.e2e.fixtures import deployment, model_version, training_job

PLURALS = ("trainingjobs", "modelversions", "modeldeployments")
_LARGEST = 100_000
_CRDS = REPOSITORY / "crds"


def _stdlib(_world: World) -> str:
    run("python3", "-c", "import collections, operator; operator.itemgetter")
    must(not (REPOSITORY / "operator" / "__init__.py").exists(), "operator/__init__.py exists")
    return "imported; no operator/__init__.py"


def _generated(_world: World) -> str:
    run("make", "crds", minutes=5)
    run("git", "diff", "--exit-code", "--stat", "crds", "charts")
    return "no difference"


def _small(_world: World) -> str:
    sizes = {path.name: path.stat().st_size for path in sorted(_CRDS.glob("*.yaml"))}
    must(len(sizes) == len(PLURALS) and max(sizes.values()) <= _LARGEST, sizes)
    return ", ".join(f"{name.removesuffix('.yaml')} {size / 1000:.1f} KB" for name, size in sizes.items())


def _applied(world: World) -> str:
    said = world.cluster.kubectl("apply", "-f", str(_CRDS))
    must(said.count("customresourcedefinition") == len(PLURALS), said)
    return f"{len(PLURALS)} applied"


def _conditions(kind: str) -> list[tuple[str, str]]:
    return [(plural, kind) for plural in PLURALS]


def _structural(world: World) -> str:
    found = [_condition(world, *each) for each in _conditions("NonStructuralSchema")]
    must(not any(found), found)
    return "no such condition"


def _accepted(world: World) -> str:
    found = [_condition(world, *each) for each in _conditions("NamesAccepted")]
    must(found == ["True"] * len(PLURALS), found)
    return "True, three times"


def _condition(world: World, plural: str, kind: str) -> str:
    path = f'jsonpath={{.status.conditions[?(@.type=="{kind}")].status}}'
    return world.cluster.kubectl("get", f"crd/{plural}.modelwright.dev", "-o", path)


def _no_clash(world: World) -> str:
    theirs, ours = world.kubectl("get", "deploy", "-o", "name"), world.kubectl("get", "mdep", "-o", "name")
    must(all(line.startswith("deployment.apps/") for line in theirs.split()), theirs)
    must(ours.split() == ["deployment.modelwright.dev/breast-cancer"], ours)
    return f"{len(theirs.split())} of apps, {len(ours.split())} of ours"


def _category(world: World) -> str:
    said = world.kubectl("get", "mlops", "-o", "name")
    kinds = sorted({line.split(".")[0] for line in said.split()})
    must(kinds == ["deployment", "modelversion", "trainingjob"], said)
    return ", ".join(kinds)


def _columns(world: World) -> str:
    header = world.kubectl("get", "mdep").splitlines()[0].split()
    wanted = ["NAME", "READY", "VERSION", "CANARY", "DRIFT", "REASON", "AGE"]
    must([name for name in header if name in wanted] == wanted, header)
    return " ".join(header)


def _documented(world: World) -> str:
    count = 0
    for plural in PLURALS:
        schema = world.definition(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        bare = _bare(schema, "spec")
        must(not bare, bare)
        count += json.dumps(schema).count('"description"')
    world.cluster.kubectl("explain", "modeldeployments.modelwright.dev.spec", "--recursive")
    return f"{count} descriptions, no bare field"


def _bare(schema: dict[str, Any], path: str) -> list[str]:
    """Return the paths of fields without a description."""
    found: list[str] = []
    for name, field in schema.get("properties", {}).items():
        if not field.get("description"):
            found.append(f"{path}.{name}")
        found += _bare(field, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            found += _bare(schema[below], f"{path}[]")
    return found


def _status_default(world: World) -> str:
    """Create each kind without creating it: an object that nobody looked at yet must not pass for one that is ready."""
    fresh = (training_job("fresh"), model_version("fresh"), deployment("fresh", {"version": "fresh"}))
    found = [
        world.kubectl(
            *("create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.status.observedGeneration}"),
            stdin=yaml.safe_dump(each),
        )
        for each in fresh
    ]
    must(found == ["-1"] * len(PLURALS), found)
    return "-1, three times"


def _map_list(world: World) -> str:
    counts = [json.dumps(world.definition(plural)).count('"x-kubernetes-list-map-keys"') for plural in PLURALS]
    must(min(counts) >= 1, counts)
    return ", ".join(f"{plural} {count}" for plural, count in zip(PLURALS, counts, strict=True))


ROWS = (
    Row(1, "stdlib not shadowed", "python3 -c 'import collections'; test ! -e operator/__init__.py", _stdlib),
    Row(2, "CRDs match models", "make crds && git diff --exit-code crds charts", _generated),
    Row(3, "at most 100 KB each", "find crds -name '*.yaml' -size +100k", _small),
    Row(4, "client-side apply works", "kubectl apply -f crds/", _applied),
    Row(5, "structural", "kubectl get crd/… -o jsonpath: NonStructuralSchema", _structural),
    Row(6, "names accepted", "kubectl get crd/… -o jsonpath: NamesAccepted", _accepted),
    Row(7, "no clash with apps", "kubectl get deploy; kubectl get mdep", _no_clash),
    Row(8, "category", "kubectl get mlops", _category),
    Row(9, "columns", "kubectl get mdep", _columns),
    Row(10, "documented fields", "kubectl explain modeldeployments.modelwright.dev.spec --recursive", _documented),
    Row(
        11,
        "status default",
        "kubectl create --dry-run=server -o jsonpath='{.status.observedGeneration}'",
        _status_default,
    ),
    Row(12, "map list", "kubectl get crd/… -o json | grep -c x-kubernetes-list-map-keys", _map_list),
)
