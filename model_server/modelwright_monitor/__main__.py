"""The sidecar's container: ``python -m modelwright_monitor``."""

import sys

from modelwright_monitor.supervisor import supervise


def _work() -> int:
    from modelwright_monitor import worker  # noqa: PLC0415 - in the worker only: the supervisor stays small

    return worker.main()


if __name__ == "__main__":
    sys.exit(supervise(_work))
