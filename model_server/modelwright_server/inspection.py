"""Try a model nobody trusts: ``python -m modelwright_server.inspection FOLDER MEMORY_BYTES SECONDS``.

Runs as a child of ``fetch --verify`` and puts limits on itself before it loads the model.  Exits with 0, or with 2 and
``{"cause": "…", "problem": "…"}`` on stdout; any other end (killed, crashed) is the parent's to read.
"""

import json
import os
import resource
import sys
from pathlib import Path

from modelwright_server.contract import Cause
from modelwright_server.rejection import ModelRejectedError


def main(arguments: list[str]) -> int:
    """Load the model in the folder given first, under the limits that follow."""
    folder, memory, seconds = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    # RLIMIT_DATA counts what the process may write to, so unlike RLIMIT_AS it is not used up
    # by mapped libraries and reserved address space.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # The parent waits no longer than that; this ends the child should the parent be gone.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has no file to write
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints must not mix with the finding

    try:
        from modelwright_server import model  # noqa: PLC0415 - needs memory, which is limited only now

        model.load(folder, threads=1)
    except ModelRejectedError as error:
        cause, problem = error.cause, str(error)
    except (MemoryError, ImportError):  # an image has all its libraries
        cause, problem = Cause.OUT_OF_MEMORY, "the model needs more memory"
    else:
        return 0
    if cause is Cause.OUT_OF_MEMORY:
        problem += f"; it may take {memory >> 20} MiB"
    json.dump({"cause": cause, "problem": problem}, report)
    report.flush()
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
