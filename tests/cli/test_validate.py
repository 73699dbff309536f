"""`validate` finds what the API server would refuse, and names it; files may be anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from modelwright_cli.validation import wrong
from tests.docs import pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Object = dict[str, Any]
JOB: Object = {
    "apiVersion": "modelwright.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "churn-1"},
    "spec": {
        "model": "churn",
        "data": [{"name": "all", "uri": "sklearn://iris"}],
        "target": "target",
        "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
    },
}
DEPLOYMENT: Object = {
    "apiVersion": "modelwright.dev/v1alpha1",
    "kind": "Deployment",
    "metadata": {"name": "churn"},
    "spec": {"model": {"version": "churn-9f2c41ab07"}},
}


def changed(document: Object, path: str, value: Any) -> Object:
    found: Object = json.loads(json.dumps(document))
    *way, last = path.split(".")
    inner = found
    for name in way:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return found


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (changed(JOB, "spec.modle", "x"), ".spec.modle: is not known: did you mean model?"),
        (
            changed(DEPLOYMENT, "spec.monitoring.window.Rows", 500),
            ".spec.monitoring.window.Rows: is not known: did",
        ),
        (changed(DEPLOYMENT, "spec.replicas", -1), ".spec.replicas: -1 is not between 0 and 1000"),
        (changed(DEPLOYMENT, "spec.replicas", "2"), ".spec.replicas: '2' is no integer"),
        (changed(DEPLOYMENT, "spec.model.name", "churn"), "spec.model"),
        (
            changed(DEPLOYMENT, "spec.monitoring.window", {"minSeconds": 90, "maxSeconds": 60}),
            "is above spec",
        ),
        (changed(DEPLOYMENT, "metadata.name", "x" * 40), "35"),
        (changed(DEPLOYMENT, "metadata.name", "Churn"), ".metadata.name: 'Churn' must be lower-case"),
        (changed(DEPLOYMENT, "metadata", {}), ".metadata.name: is required"),
        (changed(DEPLOYMENT, "apiVersion", "modelwright.dev/v1"), "write modelwright.dev/v1alpha1"),
        (changed(DEPLOYMENT, "kind", "TrainingJobs"), "did you mean TrainingJob?"),
        ({**JOB, "spec": {"model": "churn"}}, ".spec.data: is required"),
    ],
)
def test_what_is_wrong_is_named(document: Object, words: str) -> None:
    found = list(wrong(document))
    assert any(words in said for said in found), found


def test_good_objects_pass(run: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [DEPLOYMENT]}
    file.write_text(yaml.safe_dump_all([JOB, claim, listed]), encoding="utf-8")
    assert run("validate", str(file)) == "2 objects of Modelwright are valid; 1 of other groups were not looked at\n"


def test_all_examples_pass(run: Callable[..., str]) -> None:
    for file in sorted(pages.EXAMPLES.rglob("*.yaml")):
        code = 0 if "\napiVersion: modelwright.dev/" in f"\n{file.read_text(encoding='utf-8')}" else 1
        run("validate", str(file), code=code)


def test_problems_are_for_programs_too(run: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump_all([changed(JOB, "spec.modle", "\x1b[31m")]), encoding="utf-8")
    said = run("validate", str(file), code=1)
    assert "bad.yaml: TrainingJob/churn-1: .spec.modle: is not known: did you mean model?" in said
    assert "error: 1 problems in 1 objects" in said
    document = run("validate", str(file), "-o", "json", code=1)
    found = json.loads(document[: document.rindex("}") + 1])
    assert found["problems"][0]["object"] == "TrainingJob/churn-1"


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [", "is no YAML"),
        (b"\xff\xfe\x00", "is no YAML"),
        (b"- 1\n- 2", "is no object of Kubernetes"),
        (b"1: 2", "is no object of Kubernetes"),
        (b"a: 1\na: 2", "the key 'a' is there twice in line 1"),
        (BOMB.encode(), "unfolds to more than one may have"),
        (b"a: &a [*a]", "unfolds to more than one may have"),
        (b"!!python/object/apply:os.system ['true']", "is no YAML"),
        (b"[" * 5000, "is no YAML"),
        (b"x" * ((8 << 20) + 1), "more than 8388608 bytes"),
        (b"", "no object of modelwright.dev is in there"),
    ],
)
def test_files_may_be_anything(run: Callable[..., str], tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    assert words in run("validate", str(file), code=1)


def test_a_file_that_is_not_there_is_named(run: Callable[..., str]) -> None:
    assert run("validate", "nowhere.yaml", code=1) == (
        "error: nowhere.yaml cannot be read (No such file or directory): name a file of YAML or JSON\n"
    )
