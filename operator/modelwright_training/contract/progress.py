"""The log line by which a stage says how far it is: `progress: {"percent": 40, "message": "…"}`.

Any container of the training pod may write it, users' own too. Only the last one counts.
"""

import json
from dataclasses import dataclass
from typing import Final, cast

from modelwright_training.strict_json import StrictJsonError, loads

PROGRESS_PREFIX: Final = "progress: "
PROGRESS_LINE_LIMIT: Final = 1024  # characters of the whole line; a longer one is ignored
PROGRESS_TEXT_LIMIT: Final = 200  # characters of the message, which is cut

_KEYS: Final = frozenset({"percent", "message"})
_ALL: Final = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage is, 0 to 100 percent, and what it does now."""

    percent: int
    message: str = ""

    def to_line(self) -> str:
        """Return the line to log."""
        said = {"percent": self.percent, "message": _plain(self.message)}
        return f"{PROGRESS_PREFIX}{json.dumps(said, ensure_ascii=False)}"


def parse_progress(line: str) -> Progress | None:
    """Read one line of a log that is not to be trusted; None is returned for everything that is no progress line.

    `percent` is a number from 0 to 100, rounded down; `message` may be absent. There are no other keys.
    """
    if not line.startswith(PROGRESS_PREFIX) or len(line) > PROGRESS_LINE_LIMIT:
        return None
    try:
        parsed = loads(line.removeprefix(PROGRESS_PREFIX))
    except StrictJsonError:
        return None
    if not isinstance(parsed, dict):
        return None
    said = cast("dict[str, object]", parsed)
    percent, message = said.get("percent"), said.get("message", "")
    if not said.keys() <= _KEYS or isinstance(percent, bool) or not isinstance(percent, int | float):
        return None
    if not 0 <= percent <= _ALL or not isinstance(message, str):
        return None
    return Progress(int(percent), _plain(message))


def last_progress(log: str) -> str | None:
    """Return the last progress line of a log, if there is one that can be read."""
    lines = (line.rstrip("\r") for line in reversed(log.split("\n")))
    return next((line for line in lines if parse_progress(line) is not None), None)


def _plain(text: str) -> str:
    """Return the text as one short line that can be stored and shown: nothing unprintable, lone surrogates included."""
    clean = "".join(character if character.isprintable() else " " for character in text[: 4 * PROGRESS_TEXT_LIMIT])
    clean = " ".join(clean.split())
    return clean if len(clean) <= PROGRESS_TEXT_LIMIT else f"{clean[: PROGRESS_TEXT_LIMIT - 1]}…"
