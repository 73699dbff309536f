"""Plain lines on stderr, for `kubectl logs`; the operator reads the last progress line."""

import logging
import sys

from modelwright_training.contract import Progress

logger = logging.getLogger("modelwright.training")


def start() -> None:
    """Send our lines, and the libraries' warnings, to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


def progress(percent: int, message: str) -> None:
    """Say how far this stage is, 0 to 100."""
    logger.info("%s", Progress(percent, message).to_line())
