"""The artifact: one flat folder of plain files under one digest.

``manifest.json`` lists path, size and sha256 of every deterministic file, sorted by path, as canonical JSON; the sha256
of its bytes is *the* digest.  ``report.json`` holds what was measured (durations, versions) and ``model.sig`` is a
signature of the rest: they belong to no digest.

Training writes artifacts, serving reads them: standard library only.  All that is read is distrusted: names are plain
file names, files regular and not linked to, sizes bounded before reading.

ArtifactError
├── ArtifactNotFoundError    there is no artifact at this place
├── ArtifactInvalidError     there is something, but not an artifact
└── DigestMismatchError      an artifact, but not the one asked for, or a damaged one
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, cast

from modelwright_server.contract import Reason

MANIFEST = "manifest.json"
MODEL = "model.onnx"
SCHEMA = "schema.json"
REPORT = "report.json"
SIGNATURE = "model.sig"
REQUIRED = (MODEL, SCHEMA)

MAX_BYTES = 2 << 30
MAX_FILES = 64
MAX_MANIFEST_BYTES = 64 << 10
MAX_SIGNATURE_BYTES = 128 << 10
MAX_SCHEMA_BYTES = 4 << 20  # JSON takes some thirty times as much once it is read

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PREFIX = "sha256:"
_CHUNK = 1 << 20
_VERSION = 1
_PARTIAL = ".partial-"
_ARTIFACT = "the artifact"
_BESIDE = {MANIFEST, REPORT, SIGNATURE}  # not listed


class ArtifactError(Exception):
    """An artifact that cannot be used; the text says which file and why."""

    reason: ClassVar[Reason]

    def __init__(self, subject: object, problem: str) -> None:
        super().__init__(f"{subject} {problem}")


class ArtifactNotFoundError(ArtifactError):
    """There is no artifact at this place."""

    reason = Reason.ARTIFACT_NOT_FOUND


class ArtifactInvalidError(ArtifactError):
    """There is something at this place, but it is not an artifact."""

    reason = Reason.ARTIFACT_INVALID


class DigestMismatchError(ArtifactError):
    """The bytes are not those the digest stands for."""

    reason = Reason.DIGEST_MISMATCH


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One listed file: its name in the folder, its size in bytes, its sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The listed files, sorted by path."""

    files: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """Return the canonical JSON: sorted keys, no spaces, ASCII, one newline at the end."""
        files = [{"path": item.path, "sha256": item.sha256, "size": item.size} for item in self.files]
        document = {"files": files, "version": _VERSION}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"

    @property
    def digest(self) -> str:
        """``sha256:<64 hex>`` of the canonical bytes."""
        return _PREFIX + hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all listed files together."""
        return sum(item.size for item in self.files)


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is a digest, ``sha256:<64 lower-case hex>``."""
    return _DIGEST.fullmatch(text) is not None


def build(directory: Path) -> Manifest:
    """Return the manifest of the files in ``directory`` (all but manifest.json, report.json and model.sig).

    Raises:
        ArtifactNotFoundError: no such folder.
        ArtifactInvalidError: it holds anything but plain files, too many, or lacks a required one.
    """
    with _folder(directory) as folder:
        names = sorted(_names(folder, directory) - _BESIDE)
        files: list[Entry] = []
        for name in names:
            _check_name(name)
            with _plain_file(folder, name) as source:
                size = os.fstat(source).st_size
                files.append(Entry(name, size, _copy(source, None, size)))
    manifest = Manifest(tuple(files))
    _check_required(manifest)
    return manifest


def write(directory: Path) -> Manifest:
    """Build the manifest of ``directory`` and write it there as ``manifest.json``."""
    manifest = build(directory)
    (directory / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


def parse(data: bytes) -> Manifest:
    """Return the manifest with exactly these bytes.

    Only canonical bytes are accepted, so that equal contents have one digest; this also excludes unknown fields,
    repeated keys and odd spellings of numbers.

    Raises:
        ArtifactInvalidError: says what is wrong.
    """
    try:
        document: Any = json.loads(data)
        files = tuple(_entry(item) for item in document["files"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactInvalidError(MANIFEST, f"is not a manifest: {type(error).__name__} {error}") from error
    if len(files) > MAX_FILES:
        raise ArtifactInvalidError(MANIFEST, f"lists {len(files)} files, the limit is {MAX_FILES}")
    manifest = Manifest(files)
    if manifest.to_bytes() != data:
        raise ArtifactInvalidError(MANIFEST, "is not canonical JSON: write it with modelwright_server.artifact")
    for item in files:
        _check_name(item.path)
    paths = [item.path for item in files]
    if paths != sorted(set(paths)) or _BESIDE & set(paths):
        raise ArtifactInvalidError(MANIFEST, f"must list each file once, sorted, without {', '.join(sorted(_BESIDE))}")
    _check_required(manifest)
    return manifest


def parse_pinned(data: bytes, digest: str, max_bytes: int = MAX_BYTES) -> Manifest:
    """Return the manifest with these bytes, if they have this digest.

    Raises:
        ArtifactInvalidError: not a manifest, or of more than ``max_bytes`` of files; the digest is none.
        DigestMismatchError: it has another digest.
    """
    if not is_digest(digest):
        raise ArtifactInvalidError(repr(digest), "is not a digest: sha256: and 64 lower-case hex digits")
    found = _PREFIX + hashlib.sha256(data).hexdigest()
    if found != digest:
        raise DigestMismatchError(MANIFEST, f"has the digest {found}, wanted {digest}")
    manifest = parse(data)
    if manifest.size > max_bytes:
        raise ArtifactInvalidError(_ARTIFACT, f"has {manifest.size} bytes, the limit is {max_bytes}")
    return manifest


def verify(directory: Path, digest: str, *, max_bytes: int = MAX_BYTES) -> Manifest:
    """Check that ``directory`` holds exactly the artifact with this digest, and return its manifest.

    Raises:
        ArtifactNotFoundError: no such folder, or no manifest in it.
        ArtifactInvalidError: not an artifact, or one above ``max_bytes``.
        DigestMismatchError: a file is missing, changed, or not listed.
    """
    with _folder(directory) as folder:
        manifest = _read_manifest(folder, directory, digest, max_bytes)
        for item in manifest.files:
            _copy_entry(folder, item, None)
    return manifest


def read_signed(directory: Path, digest: str, max_bytes: int = MAX_BYTES) -> tuple[Manifest, bytes | None]:
    """Return the manifest with this digest in a folder, and the signature beside it, None where there is none.

    Raises:
        ArtifactError: as `verify`, but that no file is read.
    """
    with _folder(directory) as folder:
        manifest, signed = _read_manifest(folder, directory, digest, max_bytes), SIGNATURE in _names(folder, directory)
        return manifest, _read_small(folder, SIGNATURE, MAX_SIGNATURE_BYTES) if signed else None


def copy_verified(
    source: Path,
    target: Path,
    digest: str,
    *,
    max_bytes: int = MAX_BYTES,
    accept: Callable[[Path], None] = lambda _: None,
) -> Manifest:
    """Copy the artifact with this digest from ``source`` into ``target``, checking what is copied.

    Bytes are hashed on their way, so what lies in ``target`` is what was checked.  Files get their names only after
    all of them are right and ``accept``, given the folder they are in until then, has raised nothing;
    ``manifest.json`` comes last: a folder with a manifest is complete.  What is not listed is not copied.

    Raises:
        ArtifactError: as `verify`; nothing is added to ``target`` then.
        OSError: reading or writing failed (storage full, no permission).
    """
    with _folder(source) as folder:
        manifest = _read_manifest(folder, source, digest, max_bytes)
        place(manifest, target, lambda item, path: _copy_entry(folder, item, path), accept)
    return manifest


def place(
    manifest: Manifest, target: Path, bring: Callable[[Entry, Path], None], accept: Callable[[Path], None]
) -> None:
    """Let ``bring`` write each listed file, checked by itself, to the path it is given; then give them their names.

    Raises:
        OSError: writing failed.
    """
    target.mkdir(parents=True, exist_ok=True)
    for left in target.glob(_PARTIAL + "*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target))
    try:
        for item in manifest.files:
            bring(item, partial / item.path)
        accept(partial)
        (partial / MANIFEST).write_bytes(manifest.to_bytes())
        for name in (*(item.path for item in manifest.files), MANIFEST):
            (partial / name).replace(target / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _entry(item: dict[str, object]) -> Entry:
    """Return one entry of a parsed manifest; raises what a wrong shape raises."""
    path, size, sha256 = item["path"], item["size"], item["sha256"]
    plain = isinstance(path, str) and type(size) is int and isinstance(sha256, str)
    if not plain or cast("int", size) < 0 or not _HEX.fullmatch(cast("str", sha256)):
        message = f"{str(item)[:200]} must hold path (text), size (whole number) and sha256 (64 hex digits)"
        raise ValueError(message)
    return Entry(cast("str", path), cast("int", size), cast("str", sha256))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ArtifactInvalidError(repr(name), "is not a plain file name (letters, digits, '.', '_', '-'; no folders)")


def _check_required(manifest: Manifest) -> None:
    missing = set(REQUIRED) - {item.path for item in manifest.files}
    if missing:
        raise ArtifactInvalidError(_ARTIFACT, f"lacks {', '.join(sorted(missing))}")
    for item in manifest.files:
        if item.path == SCHEMA and item.size > MAX_SCHEMA_BYTES:
            raise ArtifactInvalidError(SCHEMA, f"has {item.size} bytes, the limit is {MAX_SCHEMA_BYTES}")


@contextmanager
def _folder(directory: Path) -> Generator[int]:
    """Open a folder, itself no link, for reading relative to it."""
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(directory, "does not exist") from error
    except NotADirectoryError as error:
        raise ArtifactInvalidError(directory, "is not a folder") from error
    try:
        yield folder
    finally:
        os.close(folder)


def _names(folder: int, directory: Path) -> set[str]:
    """Return all names in an open folder, which may not be many."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in islice(entries, MAX_FILES + 4)}
    if len(names - _BESIDE) > MAX_FILES:
        raise ArtifactInvalidError(directory, f"holds more than {MAX_FILES} files")
    return names


@contextmanager
def _plain_file(folder: int, name: str) -> Generator[int]:
    """Open a regular file that no other name or link leads to."""
    try:
        # Non-blocking: opening a pipe must not wait for its writer.
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError as error:
        raise DigestMismatchError(name, "is listed in the manifest but missing") from error
    except OSError as error:
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
        raise ArtifactInvalidError(name, "is not a regular file") from error
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactInvalidError(name, "is not a regular file")
        if status.st_nlink != 1:
            raise ArtifactInvalidError(name, "is hard-linked: an artifact's files have one name each")
        yield source
    finally:
        os.close(source)


def _read_manifest(folder: int, directory: Path, digest: str, max_bytes: int) -> Manifest:
    """Return the manifest of an open folder after checking all that needs no reading of files."""
    names = _names(folder, directory)
    if MANIFEST not in names:
        raise ArtifactNotFoundError(directory, f"holds no {MANIFEST}")
    manifest = parse_pinned(_read_small(folder, MANIFEST, MAX_MANIFEST_BYTES), digest, max_bytes)
    unlisted = names - {item.path for item in manifest.files} - _BESIDE
    if unlisted:
        raise DigestMismatchError(min(unlisted), "is in the folder but not listed in the manifest")
    return manifest


def _read_small(folder: int, name: str, limit: int) -> bytes:
    with _plain_file(folder, name) as source:
        size = os.fstat(source).st_size
        if size > limit:
            raise ArtifactInvalidError(name, f"has {size} bytes, the limit is {limit}")
        return os.read(source, limit + 1)


def _copy_entry(folder: int, item: Entry, target: Path | None) -> None:
    """Check one listed file, copying it to ``target`` if given."""
    with _plain_file(folder, item.path) as source:
        size = os.fstat(source).st_size
        if size != item.size:
            raise DigestMismatchError(item.path, f"has {size} bytes, the manifest says {item.size}")
        found = _copy(source, target, item.size)
    if found != item.sha256:
        raise DigestMismatchError(item.path, f"has the sha256 {found}, the manifest says {item.sha256}")


def _copy(source: int, target: Path | None, size: int) -> str:
    """Return the sha256 of ``source``, copying to ``target`` if given; never more than size + 1 bytes."""
    hashed = hashlib.sha256()
    left = size + 1  # one more: a file that grew meanwhile must not pass
    sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644) if target else None
    try:
        while left > 0 and (chunk := os.read(source, min(_CHUNK, left))):
            hashed.update(chunk)
            left -= len(chunk)
            rest = memoryview(chunk)
            while sink is not None and rest:
                rest = rest[os.write(sink, rest) :]
        if sink is not None:
            os.fsync(sink)
    finally:
        if sink is not None:
            os.close(sink)
    return hashed.hexdigest()


def as_document(data: bytes, name: str) -> dict[str, object]:
    """Return a JSON object read from an artifact's file.

    Raises:
        ArtifactInvalidError: it is not JSON, or not an object.
    """
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactInvalidError(name, f"is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ArtifactInvalidError(name, "is not a JSON object")
    return cast("dict[str, object]", document)
