"""The fetch container and the verification Job: exit codes, messages, artifacts that are not right."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelwright_server import artifact, fetch, termination
from modelwright_server.contract import Cause, ExitCode, Reason
from tests.server.bad_models import GOOD, SCHEMA
from tests.server.fetching import Fetch
from tests.server.models import BUILDERS, CLAIM, Built, write_artifact

Builder = Callable[[str], Built]


@pytest.fixture
def run(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


def test_fetch_copies_and_reports(built: Builder, run: Fetch) -> None:
    model = built("logistic")
    code, message = run(model.uri, model.digest, model.stores)
    size = sum(
        (model.folder / name).stat().st_size for name in ("model.onnx", "schema.json", "metrics.json", "card.json")
    )
    assert (code, message) == (0, {"stage": "fetch", "digest": model.digest, "sizeBytes": size})
    assert (run.target / "model.onnx").read_bytes() == (model.folder / "model.onnx").read_bytes()
    assert not (run.target / "report.json").exists()
    assert run(model.uri, model.digest, model.stores)[0] == 0  # a restarted container


@pytest.mark.parametrize("name", list(BUILDERS))
def test_verify_reports_schema_and_task(built: Builder, run: Fetch, name: str) -> None:
    model = built(name)
    code, message = run(model.uri, model.digest, model.stores, "--verify")
    assert code == 0, (message, run.stderr)
    assert (message["stage"], message["digest"], message["task"]) == ("verify", model.digest, model.schema["task"])
    assert message.get("schema", model.schema) == model.schema


def test_a_schema_too_long_for_the_message_is_left_out(built: Builder, run: Fetch, tmp_path: Path) -> None:
    model = built("logistic")
    columns = [f"a rather long name for column number {at}" for at in range(30)]
    schema = json.loads(json.dumps(model.schema))
    schema["inputs"][0]["columns"] = columns
    onnx_bytes = (model.folder / "model.onnx").read_bytes()
    digest = write_artifact(tmp_path / "stores" / CLAIM / "long", onnx_bytes, schema)
    code, message = run(f"pvc://{CLAIM}/long", digest, tmp_path / "stores", "--verify")
    assert (code, "schema" in message, message["task"]) == (0, False, "Classification")


def test_failures_have_their_code_and_reason(built: Builder, run: Fetch, tmp_path: Path) -> None:
    model = built("logistic")
    store = tmp_path / "stores" / CLAIM
    shutil.copytree(model.folder, store / "bent")
    (store / "bent" / "model.onnx").write_bytes(b"other")
    other = "sha256:" + "0" * 64
    for uri, digest, stores, changes, code, reason, says in (
        (model.uri, other, model.stores, {}, 2, Reason.DIGEST_MISMATCH, other),
        (f"pvc://{CLAIM}/bent", model.digest, store.parent, {}, 2, Reason.DIGEST_MISMATCH, "model.onnx"),
        (f"pvc://{CLAIM}/none", model.digest, model.stores, {}, 2, Reason.ARTIFACT_NOT_FOUND, "does not exist"),
        ("pvc://other/none", model.digest, model.stores, {}, 1, Reason.STORAGE_UNAVAILABLE, "not mounted"),
        ("ftp://other/none", model.digest, model.stores, {}, 2, Reason.ARTIFACT_INVALID, "must start with pvc://"),
        (model.uri, "latest", model.stores, {}, 2, Reason.ARTIFACT_INVALID, "is not a digest"),
        (model.uri, model.digest, model.stores, {"max_artifact_bytes": 10}, 2, Reason.ARTIFACT_INVALID, "limit is 10"),
    ):
        found, message = run(uri, digest, stores, **changes)
        assert (found, message["stage"], message["reason"]) == (code, "fetch", reason)
        assert uri in message["message"]
        assert says in message["message"]
        assert message["message"] in run.stderr
        assert not run.target.exists() or not list(run.target.iterdir())


def test_a_target_that_cannot_be_written_is_worth_a_retry(built: Builder, run: Fetch, tmp_path: Path) -> None:
    model = built("logistic")
    run.target = tmp_path / "file"
    run.target.write_bytes(b"")
    code, message = run(model.uri, model.digest, model.stores)
    assert (code, message["reason"]) == (1, "StorageUnavailable")


def test_wrong_settings_are_said_on_stderr(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "modelwright_server.fetch"], env={}, cwd=tmp_path, capture_output=True, check=False
    )
    assert result.returncode == ExitCode.PERMANENT
    assert b"MODELWRIGHT_ARTIFACT_URI is not set; MODELWRIGHT_ARTIFACT_DIGEST is not set" in result.stderr


SCHEMAS: dict[str, tuple[object, str]] = {
    "no object": ([], "is not a JSON object"),
    "no inputs": ({**SCHEMA, "inputs": []}, "field inputs: must be a list of 1 to"),
    "inputs as text": ({**SCHEMA, "inputs": "a"}, "field inputs"),
    "unknown task": ({**SCHEMA, "task": "Ranking"}, "field task: must be one of Classification, Regression"),
    "no task": ({**SCHEMA, "task": None}, "field task"),
    "task as list": ({**SCHEMA, "task": []}, "field task"),
    "input no object": ({**SCHEMA, "inputs": [1]}, "field inputs[0]: must be an object"),
    "no name": ({**SCHEMA, "inputs": [{}]}, "field inputs[0].name"),
    "line in name": ({**SCHEMA, "inputs": [{**SCHEMA["inputs"][0], "name": "a\nb"}]}, "field inputs[0].name"),
    "datatype": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "COMPLEX64"}]},
        "field inputs[0].datatype: must be one of",
    ),
    "datatype as list": ({**SCHEMA, "inputs": [{"name": "a", "datatype": []}]}, "field inputs[0].datatype"),
    "shape": ({**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 2]}]}, "field inputs[0].shape"),
    "rank": ({**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 2, 3]}]}, "field inputs[0].shape"),
    "columns": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 2], "columns": ["x"]}]},
        "field inputs[0].columns: must name 2 columns",
    ),
    "columns as numbers": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 2], "columns": [1, 2]}]},
        "field inputs[0].columns: must be a list of texts",
    ),
    "nullable as text": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 1], "nullable": "true"}]},
        "field inputs[0].nullable: must be true or false",
    ),
    "nullable as null": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 1], "nullable": None}]},
        "field inputs[0].nullable: must be true or false",
    ),
    "nullable whole number": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "INT64", "shape": [-1, 1], "nullable": True}]},
        "field inputs[0].nullable: INT64 has no missing values; only FP16, FP32 and FP64 have",
    ),
    "nullable output": (
        {**SCHEMA, "outputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 1], "nullable": True}]},
        "field outputs[0].nullable: only inputs can be nullable",
    ),
    "same name": ({**SCHEMA, "inputs": SCHEMA["inputs"] * 2}, "two tensors have the same name"),
}


@pytest.mark.parametrize(("schema", "says"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_wrong_schemas_name_the_field(run: Fetch, tmp_path: Path, schema: Any, says: str) -> None:
    digest = write_artifact(tmp_path / "stores" / CLAIM / "bad", GOOD, schema)
    code, message = run(f"pvc://{CLAIM}/bad", digest, tmp_path / "stores")
    assert (code, message["reason"]) == (2, "ArtifactInvalid")
    assert says in message["message"]
    assert not list(run.target.iterdir())


def test_files_that_are_too_large_are_refused_unread(run: Fetch, tmp_path: Path) -> None:
    for name, size, says in (
        ("model.onnx", (2 << 30) + 1, "the limit is 2147483648"),
        ("schema.json", (4 << 20) + 1, "schema.json has 4194305 bytes, the limit is 4194304"),
    ):
        folder = tmp_path / "stores" / CLAIM / name
        write_artifact(folder, GOOD, SCHEMA)
        os.truncate(folder / name, size)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        sizes = {name: size}
        lying = artifact.Manifest(
            tuple(
                artifact.Entry(item["path"], sizes.get(item["path"], item["size"]), item["sha256"])
                for item in manifest["files"]
            )
        )
        (folder / "manifest.json").write_bytes(lying.to_bytes())
        code, message = run(f"pvc://{CLAIM}/{name}", lying.digest, tmp_path / "stores")
        assert (code, message["reason"]) == (2, "ArtifactInvalid")
        assert says in message["message"]
        assert run.peaks[0] < 64 << 20


@pytest.mark.parametrize(
    ("code", "output", "cause", "says"),
    [
        (-signal.SIGSEGV, b"", Cause.CRASHED, "ended its process by SIGSEGV; it had 64 MiB"),
        (-signal.SIGKILL, b"", Cause.OUT_OF_MEMORY, "by SIGKILL"),
        (-signal.SIGXCPU, b"", Cause.TIMED_OUT, "took more than 9 s"),
        (-250, b"", Cause.CRASHED, "by 250"),
        (1, b"", Cause.CRASHED, "ended its process with code 1"),
        (2, b'{"cause": "RunFailed", "problem": "found it"}', Cause.RUN_FAILED, "found it"),
        (2, b'{"cause": "Whim", "problem": "found it"}', Cause.CRASHED, "with code 2"),
        (2, b"", Cause.CRASHED, "with code 2"),
        (2, b"[]", Cause.CRASHED, "with code 2"),
    ],
)
def test_what_ended_the_child_is_said(code: int, output: bytes, cause: Cause, says: str) -> None:
    found = fetch._finding(code, output, 9, 64 << 20)
    assert found.cause is cause
    assert says in str(found)


def test_long_messages_are_cut_at_a_character() -> None:
    message = termination.failure("fetch", Reason.ARTIFACT_INVALID, "é" * 1000)
    text = str(message["message"])
    assert len(text.encode()) <= 600
    assert set(text) == {"é", "…"}


def test_messages_over_the_limit_are_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit is 1536"):
        termination.write(str(tmp_path / "log"), {"stage": "x", "text": "a" * 2000})
    assert not (tmp_path / "log").exists()


def test_no_termination_log_is_no_failure(built: Builder, run: Fetch, tmp_path: Path) -> None:
    model = built("logistic")
    run.log = tmp_path / "no" / "folder" / "log"
    assert run(model.uri, model.digest, model.stores) == (0, {})
    assert "cannot write the termination message" in run.stderr
