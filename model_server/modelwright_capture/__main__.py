"""The capture container: ``python -m modelwright_capture``."""

import os
import sys

from modelwright_monitor.supervisor import supervise

# Rows and labels that wait are sent before the container ends; the pod's grace period is longer.
_LAST_SECONDS = 12.0


def _work() -> int:
    os.nice(10)  # the server answers first
    from modelwright_capture import worker  # noqa: PLC0415 - in the worker only: the supervisor stays small

    return worker.main()


if __name__ == "__main__":
    sys.exit(supervise(_work, last_seconds=_LAST_SECONDS))
