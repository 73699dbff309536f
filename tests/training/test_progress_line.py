"""The progress line: what a stage writes is read, and what anybody else writes does no harm."""

import pytest

from modelwright_training.contract import Progress, last_progress, parse_progress

HOSTILE = "x" * 100_000


@pytest.mark.parametrize("said", [Progress(0), Progress(100, "fitted"), Progress(40, "Bäume: 40 of 100")])
def test_what_is_written_is_read(said: Progress) -> None:
    assert parse_progress(said.to_line()) == said


@pytest.mark.parametrize(
    ("line", "percent", "message"),
    [
        pytest.param('progress: {"percent": 40}', 40, "", id="no message"),
        pytest.param('progress: {"percent": 40.9, "message": "a"}', 40, "a", id="a fraction"),
        pytest.param('progress: {"percent": 1, "message": "a\\n\\u001b[31mb"}', 1, "a [31mb", id="controls"),
        pytest.param('progress: {"percent": 1, "message": "\\ud800a"}', 1, "a", id="a lone surrogate"),
    ],
)
def test_others_may_write_it_their_way(line: str, percent: int, message: str) -> None:
    assert parse_progress(line) == Progress(percent, message)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "progress",
        "progress: ",
        "progress: 40",
        "progress: [40]",
        "progress: {",
        'progress: {"percent": "40"}',
        'progress: {"percent": true}',
        'progress: {"percent": 101}',
        'progress: {"percent": -1}',
        'progress: {"percent": NaN}',
        'progress: {"percent": 1e999}',
        'progress: {"percent": 1, "percent": 2}',
        'progress: {"percent": 1, "message": 2}',
        'progress: {"percent": 1, "eta": 2}',
        'progress: {"message": "a"}',
        ' progress: {"percent": 1}',
        f'progress: {{"percent": 1, "message": "{HOSTILE}"}}',
        f"progress: {'[' * 1000}",
        f'progress: {{"percent": 1{"0" * 990}}}',
    ],
)
def test_anything_else_is_no_progress(line: str) -> None:
    assert parse_progress(line) is None


def test_a_message_is_cut() -> None:
    found = parse_progress(f'progress: {{"percent": 1, "message": "{"é" * 900}"}}')
    assert found is not None
    assert (len(found.message), found.message[-1]) == (200, "…")


def test_a_long_message_of_ours_is_still_read() -> None:
    for character in ('"', "\n", "\x00", "\U0001f600"):
        assert parse_progress(Progress(1, character * 2000).to_line()) is not None


def test_the_last_line_that_can_be_read_counts() -> None:
    log = 'progress: {"percent": 1}\nprogress: {"percent": 2}\r\nwarning: x\nprogress: {"perc'
    assert last_progress(log) == 'progress: {"percent": 2}'
    assert last_progress("no such line\n") is None
