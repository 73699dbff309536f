"""Look at a model nobody trusts: ``python -m modelwright_server.inspection FOLDER MEMORY_BYTES``.

Runs as a child of ``fetch --verify`` and puts limits on itself before it reads the model.  Exits with 0, or with 2 and
``{"problem": "…"}`` on stdout; any other end (killed, crashed, out of memory) is the parent's to read.
"""

import json
import os
import resource
import sys
from pathlib import Path

from modelwright_server import artifact, graph, model


def main(arguments: list[str]) -> int:
    """Inspect the model in the folder given first under the memory limit given second."""
    folder, memory = Path(arguments[0]), int(arguments[1])
    # RLIMIT_DATA counts what the process may write to, so unlike RLIMIT_AS it is not used up
    # by mapped libraries and reserved address space.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints must not mix with the finding

    try:
        graph.check((folder / artifact.MODEL).read_bytes())
        model.load(folder, threads=1)
    except (graph.GraphError, model.ModelError, artifact.ArtifactError) as error:
        problem = str(error)
    except MemoryError:
        problem = f"the model needs more than {memory >> 20} MiB of memory"
    else:
        return 0
    json.dump({"problem": problem}, report)
    report.flush()
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
