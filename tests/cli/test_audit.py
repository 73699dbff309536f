"""`audit verify`: offline, on a folder, a file, or a store; a broken log is exit code 1 and names the line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from modelwright_audit.chain import Head, link
from modelwright_audit.segments import name_of
from tests.support.object_store import REGION, running_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a folder with six records in two files, and what is none of them."""
    folder = tmp_path / "audit"
    folder.mkdir()
    lines, _ = link(({"event": "Approved", "at": f"2026-11-22T10:0{at}:00Z"} for at in range(6)), Head())
    for first, last in ((0, 4), (4, 6)):
        text = "".join(f"{line}\n" for line in lines[first:last])
        (folder / name_of(first + 1)).write_text(text, encoding="utf-8")
    (folder / "cursor.json").write_text("{}", encoding="utf-8")
    return folder


def head_of(log: Path, number: int) -> str:
    lines = "".join(path.read_text(encoding="utf-8") for path in sorted(log.glob("0*.jsonl"))).splitlines()
    return str(json.loads(lines[number - 1])["hash"])


def test_a_whole_log_is_said_to_be_whole(run: Callable[..., str], log: Path) -> None:
    said = run("audit", "verify", str(log))
    assert said.startswith("6 records in 2 files are whole, from 2026-11-22T10:00:00Z to 2026-11-22T10:05:00Z")
    assert head_of(log, 6) in said
    assert "only by --head" in said
    told = json.loads(run("audit", "verify", str(log), "--head", head_of(log, 6), "-o", "json"))
    assert (told["records"], told["sequence"], told["headFound"]) == (6, 6, True)


def test_one_changed_byte_names_its_line(run: Callable[..., str], log: Path) -> None:
    file = log / name_of(1)
    file.write_bytes(file.read_bytes().replace(b"10:02", b"10:12"))
    said = run("audit", "verify", str(log), code=1)
    assert said == "error: 000000000001.jsonl line 3: record 3 was changed: its hash is not that of its content\n"


def test_a_missing_end_shows_by_the_head(run: Callable[..., str], log: Path) -> None:
    head = head_of(log, 6)
    (log / name_of(5)).unlink()
    assert "4 records" in run("audit", "verify", str(log))
    assert "records are missing at the end" in run("audit", "verify", str(log), "--head", head, code=1)


def test_a_missing_beginning_has_to_be_allowed(run: Callable[..., str], log: Path) -> None:
    (log / name_of(1)).unlink()
    assert "record 5 stands where record 1 belongs" in run("audit", "verify", str(log), code=1)
    assert run("audit", "verify", str(log), "--no-beginning").startswith("2 records in 1 files")
    assert run("audit", "verify", str(log / name_of(5)), "--no-beginning").startswith("2 records in 1 files")


def test_what_is_no_log_is_said_to_be_none(run: Callable[..., str], tmp_path: Path) -> None:
    assert "has no record" in run("audit", "verify", str(tmp_path), code=1)
    assert "absent.jsonl: it is not there" in run("audit", "verify", str(tmp_path / "absent.jsonl"), code=1)
    assert "error: " in run("audit", "verify", "https://example.org/x", code=1)


def test_a_log_in_a_store_is_read_there(
    run: Callable[..., str], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_store(tmp_path / "store") as store:
        for name, value in store.credentials.items():
            monkeypatch.setenv(name, value)
        for file in log.iterdir():
            store.put(f"audit/{file.name}", file.read_bytes())
        arguments = ("audit", "verify", "s3://lake/audit", "--endpoint", store.endpoint, "--region", REGION)
        assert run(*arguments, "--head", head_of(log, 6)).startswith("6 records in 2 files are whole")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        assert "error: " in run(*arguments, code=1)
