"""Runs in the environment that has Feast: repositories are made, and stages run, one after the other as asked.

One process does it all, since importing Feast takes seconds. Standard input and output carry one JSON object a line.
"""

import contextlib
import io
import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any


def make(request: dict[str, Any]) -> dict[str, Any]:
    """Run a repository's program in its folder, as `feast apply` does."""
    folder = Path(request["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    exec(compile(request["program"], "repository.py", "exec"), {"__name__": "__main__"})  # noqa: S102
    return {}


def stage(request: dict[str, Any]) -> dict[str, Any]:
    """Run the stage; return its exit code."""
    from modelwright_training.__main__ import main  # noqa: PLC0415

    os.environ.update(request["environment"])
    return {"code": main(["features"])}


def serve() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    said = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        noise = io.StringIO()
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            try:
                answer = {"make": make, "stage": stage}[request["do"]](request)
            except Exception:  # noqa: BLE001 - told to who asked
                answer = {"error": traceback.format_exc()}
        said.write(json.dumps({**answer, "log": noise.getvalue()[-4000:]}) + "\n")
        said.flush()


if __name__ == "__main__":
    serve()
