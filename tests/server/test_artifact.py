"""The artifact format: its digest, and what tampering with a folder or a manifest leads to."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server import artifact
from modelwright_server.artifact import (
    ArtifactError,
    ArtifactInvalidError,
    ArtifactNotFoundError,
    DigestMismatchError,
    Entry,
    Manifest,
)

FILES = {"model.onnx": b"onnx", "schema.json": b"{}", "metrics.json": b"[]", "card.json": b"{ }"}


def fill(folder: Path) -> str:
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "report.json").write_text('{"seconds": 3}')
    return artifact.write(folder).digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "artifact")
    return tmp_path / "artifact"


@pytest.fixture
def digest(folder: Path) -> str:
    return "sha256:" + hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_manifest_is_canonical_and_its_sha256_is_the_digest(folder: Path, digest: str) -> None:
    manifest = artifact.build(folder)
    assert manifest.to_bytes() == (folder / "manifest.json").read_bytes()
    assert manifest.digest == digest
    listed = json.loads(manifest.to_bytes())["files"]
    assert [item["path"] for item in listed] == sorted(FILES)
    assert all(item["sha256"] == hashlib.sha256(FILES[item["path"]]).hexdigest() for item in listed)
    assert manifest.size == sum(map(len, FILES.values()))


def test_digest_depends_on_nothing_but_listed_files(folder: Path, digest: str, tmp_path: Path) -> None:
    (folder / "report.json").write_text('{"seconds": 4}')
    assert artifact.verify(folder, digest).digest == digest
    assert fill(tmp_path / "again") == digest


def test_a_copy_has_the_listed_files_only_and_is_itself_an_artifact(folder: Path, digest: str, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    manifest = artifact.copy_verified(folder, target, digest)
    assert {item.name for item in target.iterdir()} == {*FILES, "manifest.json"}
    assert artifact.verify(target, digest) == manifest


def test_a_copy_may_be_repeated_and_clears_what_an_interrupted_one_left(
    folder: Path, digest: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    (target / ".partial-old").mkdir(parents=True)
    (target / ".partial-old" / "model.onnx").write_bytes(b"half")
    for _ in range(2):
        artifact.copy_verified(folder, target, digest)
    assert {item.name for item in target.iterdir()} == {*FILES, "manifest.json"}


def _swap(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def _symlink(path: Path) -> None:
    (path.parent.parent / "elsewhere").write_bytes(FILES["model.onnx"])
    path.symlink_to(path.parent.parent / "elsewhere")


def _hardlink(path: Path) -> None:
    (path.parent.parent / "elsewhere").write_bytes(FILES["model.onnx"])
    os.link(path.parent.parent / "elsewhere", path)


TAMPERING: dict[str, tuple[Callable[[Path], object], type[ArtifactError], str]] = {
    "missing file": (lambda at: (at / "model.onnx").unlink(), DigestMismatchError, "model.onnx is listed"),
    "bit flip": (lambda at: (at / "model.onnx").write_bytes(b"onnY"), DigestMismatchError, "model.onnx has the sha256"),
    "longer": (lambda at: (at / "model.onnx").write_bytes(b"onnx "), DigestMismatchError, "has 5 bytes, the manifest"),
    "shorter": (lambda at: (at / "model.onnx").write_bytes(b"onn"), DigestMismatchError, "has 3 bytes"),
    "empty": (lambda at: (at / "schema.json").write_bytes(b""), DigestMismatchError, "schema.json has 0 bytes"),
    "unlisted file": (lambda at: (at / "extra.bin").write_bytes(b"x"), DigestMismatchError, "extra.bin is in the"),
    "hidden file": (lambda at: (at / ".x").write_bytes(b"x"), DigestMismatchError, ".x is in the folder"),
    "unlisted folder": (lambda at: (at / "sub").mkdir(), DigestMismatchError, "sub is in the folder"),
    "symlink": (_swap("model.onnx", _symlink), ArtifactInvalidError, "model.onnx is not a regular file"),
    "hardlink": (_swap("model.onnx", _hardlink), ArtifactInvalidError, "model.onnx is hard-linked"),
    "pipe": (_swap("model.onnx", os.mkfifo), ArtifactInvalidError, "model.onnx is not a regular file"),
    "folder for file": (_swap("model.onnx", Path.mkdir), ArtifactInvalidError, "model.onnx is not a regular file"),
    "manifest symlink": (_swap("manifest.json", _symlink), ArtifactInvalidError, "manifest.json is not a regular"),
    "no manifest": (lambda at: (at / "manifest.json").unlink(), ArtifactNotFoundError, "holds no manifest.json"),
    "changed manifest": (
        lambda at: (at / "manifest.json").write_bytes((at / "manifest.json").read_bytes() + b" "),
        DigestMismatchError,
        "manifest.json has the digest",
    ),
    "giant manifest": (
        lambda at: (at / "manifest.json").write_bytes(b" " * (artifact.MAX_MANIFEST_BYTES + 1)),
        ArtifactInvalidError,
        "manifest.json has 65537 bytes",
    ),
}


@pytest.mark.parametrize(("tamper", "error", "says"), TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_is_found_and_nothing_is_copied(
    folder: Path, digest: str, tamper: Callable[[Path], object], error: type[ArtifactError], says: str
) -> None:
    tamper(folder)
    with pytest.raises(error) as verified:
        artifact.verify(folder, digest)
    assert says in str(verified.value)
    target = folder.parent / "target"
    with pytest.raises(error):
        artifact.copy_verified(folder, target, digest)
    assert not target.exists() or not list(target.iterdir())


def forged(folder: Path, change: Callable[[list[dict[str, object]]], object]) -> str:
    """Change what the manifest lists, and give the digest that goes with it."""
    document = json.loads((folder / "manifest.json").read_bytes())
    change(document["files"])
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    (folder / "manifest.json").write_bytes(data)
    return "sha256:" + hashlib.sha256(data).hexdigest()


FORGERY: dict[str, tuple[Callable[[list[dict[str, object]]], object], str]] = {
    "parent": (lambda files: files[0].update(path="../card.json"), "is not a plain file name"),
    "absolute": (lambda files: files[0].update(path="/etc/passwd"), "is not a plain file name"),
    "folder": (lambda files: files[0].update(path="a/card.json"), "is not a plain file name"),
    "dots": (lambda files: files[0].update(path=".."), "is not a plain file name"),
    "hidden": (lambda files: files[0].update(path=".card.json"), "is not a plain file name"),
    "nul": (lambda files: files[0].update(path="card\x00.json"), "is not a plain file name"),
    "newline": (lambda files: files[0].update(path="card.json\n"), "is not a plain file name"),
    "empty name": (lambda files: files[0].update(path=""), "is not a plain file name"),
    "long name": (lambda files: files[0].update(path="a" * 101), "is not a plain file name"),
    "number as name": (lambda files: files[0].update(path=1), "must hold path (text)"),
    "negative size": (lambda files: files[0].update(size=-1), "must hold path"),
    "size as text": (lambda files: files[0].update(size="3"), "must hold path"),
    "size as truth": (lambda files: files[0].update(size=True), "must hold path"),
    "fractional size": (lambda files: files[0].update(size=3.5), "must hold path"),
    "short sha256": (lambda files: files[0].update(sha256="ab"), "must hold path"),
    "upper-case sha256": (lambda files: files[0].update(sha256="A" * 64), "must hold path"),
    "unknown field": (lambda files: files[0].update(mode=511), "is not canonical"),
    "missing field": (lambda files: files[0].pop("size"), "KeyError"),
    "entry no object": (lambda files: files.append("x"), "TypeError"),  # type: ignore[arg-type]
    "unsorted": (lambda files: files.reverse(), "must list each file once, sorted"),
    "listed twice": (lambda files: files.insert(0, files[0]), "must list each file once"),
    "lists itself": (lambda files: files[1].update(path="manifest.json"), "must list each file once"),
    "lists the report": (
        lambda files: files.insert(3, {"path": "report.json", "sha256": "0" * 64, "size": 1}),
        "must list each file once",
    ),
    "no model": (lambda files: files.pop(2), "the artifact lacks model.onnx"),
    "no files": (lambda files: files.clear(), "the artifact lacks model.onnx, schema.json"),
    "too many": (lambda files: files.extend(files[:1] * 65), "the limit is 64"),
    "too large": (lambda files: files[2].update(size=3 << 30), "the limit is 2147483648"),
}


@pytest.mark.parametrize(("change", "says"), FORGERY.values(), ids=FORGERY.keys())
def test_forged_manifests_are_refused_even_with_their_own_digest(
    folder: Path, change: Callable[[list[dict[str, object]]], object], says: str
) -> None:
    digest = forged(folder, change)
    with pytest.raises(ArtifactInvalidError) as caught:
        artifact.verify(folder, digest)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"null", b'{"files":1}', b'{"files":[' + b"[" * 30_000, b'{"files":' + b"9" * 5000 + b"}"],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_no_manifest_at_all(data: bytes) -> None:
    with pytest.raises(ArtifactInvalidError):
        artifact.parse(data)


def test_the_folder_itself(folder: Path, digest: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="does not exist"):
        artifact.verify(tmp_path / "nothing", digest)
    with pytest.raises(ArtifactInvalidError, match="is not a folder"):
        artifact.verify(folder / "model.onnx", digest)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ArtifactInvalidError, match="is not a folder"):
        artifact.verify(tmp_path / "link", digest)
    for wrong in ("", digest[7:], digest.upper(), digest + "\n", "sha512:" + digest[7:]):
        with pytest.raises(ArtifactInvalidError, match="is not a digest"):
            artifact.verify(folder, wrong)
    with pytest.raises(ArtifactInvalidError, match="has 11 bytes, the limit is 10"):
        artifact.verify(folder, digest, max_bytes=10)


def test_build_refuses_what_verify_would(folder: Path) -> None:
    (folder / "sub").mkdir()
    with pytest.raises(ArtifactInvalidError, match="sub is not a regular file"):
        artifact.build(folder)
    (folder / "sub").rmdir()
    (folder / "schema.json").unlink()
    with pytest.raises(ArtifactInvalidError, match=r"lacks schema\.json"):
        artifact.build(folder)


def test_a_file_that_changes_under_the_copy_is_noticed(folder: Path, digest: str, tmp_path: Path) -> None:
    """The size is checked, then the bytes: both have to hold."""
    (folder / "model.onnx").write_bytes(b"xnno")
    with pytest.raises(DigestMismatchError):
        artifact.copy_verified(folder, tmp_path / "target", digest)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda name: name not in {"manifest.json", "report.json"}
)


@given(st.dictionaries(names, st.tuples(st.integers(0, 1 << 40), st.binary(max_size=8)), max_size=8))
def test_manifests_survive_their_own_bytes(files: dict[str, tuple[int, bytes]]) -> None:
    listed = {**files, "model.onnx": (1, b""), "schema.json": (2, b"")}
    manifest = Manifest(
        tuple(sorted(Entry(name, size, hashlib.sha256(data).hexdigest()) for name, (size, data) in listed.items()))
    )
    assert artifact.parse(manifest.to_bytes()) == manifest


@given(st.binary(max_size=200))
def test_random_bytes_are_no_manifest(data: bytes) -> None:
    with pytest.raises(ArtifactInvalidError):
        artifact.parse(data)
