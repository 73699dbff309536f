"""`kubectl modelwright`, or `kubectl-modelwright`: exit code 1 for what cannot be done, 2 for what cannot be meant."""

from __future__ import annotations

import os
import sys

from modelwright_cli.app import app
from modelwright_cli.errors import Fault
from modelwright_cli.printing import clean


def main() -> None:
    """Run a command and end with its exit code."""
    try:
        app()
    except Fault as fault:
        sys.stderr.write(f"error: {clean(fault)}\n")
        sys.exit(1)
    except BrokenPipeError:  # whoever read this has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
