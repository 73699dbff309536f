"""Settings, manifests and schemas from strangers: read, or refused by the error that is for it; nothing else."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright_server import artifact, schema
from modelwright_server.contract import FetchSettings, ServerSettings, SettingsError
from tests.server.bad_models import GOOD, SCHEMA
from tests.server.fetching import Fetch
from tests.server.models import CLAIM, write_artifact

ENTRY: dict[str, Any] = {"path": "model.onnx", "sha256": "0" * 64, "size": 1}
MANIFEST: dict[str, Any] = {"files": [ENTRY, {**ENTRY, "path": "schema.json"}], "version": 1}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["FP32", "BYTES", "input", "Regression", -1, 2**70, "0" * 64, "model.onnx", "\ud800", "../x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """All parts of a document: what holds each, and its key or position there."""
    keys = list(document) if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    return [place for key in keys for place in ((document, key), *places(document[key]))]


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with some of its parts replaced, doubled, or taken out."""
    copied = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(0, 3))):
        if not (parts := places(copied)):
            break
        holder, key = parts[draw(st.integers(0, len(parts) - 1))]
        match draw(st.sampled_from(["replace", "replace", "double", "remove", "add"])):
            case "replace":
                holder[key] = draw(values)
            case "double" if isinstance(holder, list):
                holder.append(holder[key])
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["columns", "nullable", "x"]))] = draw(values)
            case _:
                del holder[key]
    return copied


def encoded(document: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Its JSON in several spellings, some of them damaged."""
    plain = document.map(lambda item: json.dumps(item).encode())
    canonical = document.map(lambda item: json.dumps(item, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    cut = st.builds(lambda data, at: data[:at], plain, st.integers(0, 200))
    return plain | canonical | cut | st.binary(max_size=100)


@settings(max_examples=300, deadline=None)
@given(encoded(changed(MANIFEST)))
def test_any_bytes_are_a_manifest_or_none(data: bytes) -> None:
    try:
        manifest = artifact.parse(data)
    except artifact.ArtifactInvalidError:
        return
    assert manifest.to_bytes() == data
    assert all("/" not in item.path and item.path != ".." for item in manifest.files)


@settings(max_examples=400, deadline=None)
@given(encoded(changed(SCHEMA)))
def test_any_bytes_are_a_schema_or_none(data: bytes) -> None:
    try:
        signature = schema.parse(data)
    except artifact.ArtifactInvalidError:
        return
    again = json.dumps(signature.to_document()).encode()
    assert schema.parse(again) == signature


NAMES = sorted({item.metadata["env"] for kind in (ServerSettings, FetchSettings) for item in fields(kind)})
texts = st.text(max_size=20) | st.integers().map(str) | st.sampled_from(["True", "1e3", "٣", "9" * 5000, " 1"])


@pytest.mark.parametrize("kind", [ServerSettings, FetchSettings])
@given(env=st.dictionaries(st.sampled_from(NAMES), texts))
def test_any_variables_are_settings_or_refused(kind: type[ServerSettings | FetchSettings], env: dict[str, str]) -> None:
    try:
        read = kind.from_env(env)
    except SettingsError:
        return
    assert kind.from_env(read.to_env()) == read


BOMBS = {
    "nesting": b"[" * artifact.MAX_SCHEMA_BYTES,
    "empty lists": b"[" + b"[]," * (artifact.MAX_SCHEMA_BYTES // 3 - 1) + b"0]",
    "empty objects": b"[" + b"{}," * (artifact.MAX_SCHEMA_BYTES // 3 - 1) + b"0]",
    "keys": b"{" + b",".join(b'"%x":0' % at for at in range(400_000)) + b"}",
    "digits": b'{"inputs":' + b"9" * (artifact.MAX_SCHEMA_BYTES - 100) + b"}",
    "names": json.dumps({**SCHEMA, "inputs": [{"name": f"n{at}"} for at in range(100_000)]}).encode(),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_documents_that_grow_when_read_stay_within_the_containers_memory(tmp_path: Path, data: bytes) -> None:
    fetch = Fetch(tmp_path)
    folder = tmp_path / "stores" / CLAIM / "bad"
    write_artifact(folder, GOOD, SCHEMA)
    (folder / "schema.json").write_bytes(data)
    digest = artifact.write(folder).digest
    code, message = fetch(f"pvc://{CLAIM}/bad", digest, tmp_path / "stores")
    assert (code, message["reason"]) == (2, "ArtifactInvalid"), fetch.stderr
    assert fetch.peaks[0] < 256 << 20  # of the 512 MiB it gets
