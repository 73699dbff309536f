"""The server's own events: one JSON object a line, on stderr."""

import json
import logging
import sys
import time
from typing import Any

_LOG = logging.getLogger("modelwright.server")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and what the call gave as ``extra={"fields": …}``."""

    def __init__(self, **common: object) -> None:
        super().__init__()
        self.converter = time.gmtime
        self._common = common

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self._common,
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(**common: object) -> None:
    """Send log lines to stderr, each with the fields ``common``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(**common))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def log(event: str, /, **fields: object) -> None:
    """Write an event of the server's life."""
    _LOG.info(event, extra={"fields": fields})


def log_error(event: str, /, **fields: object) -> None:
    """Write an event that should not have happened."""
    _LOG.error(event, extra={"fields": fields})
