"""Score a model nobody trusts: `python -m modelwright_training.scoring MODEL ROWS ANSWERS MEMORY_BYTES SECONDS`.

Runs as a child of evaluate and puts limits on itself before it loads the model, by the server's own code. Rows and
answers are files of `samples`. Exits with 0, or with 2 and what is wrong with the model on stderr's last line; any
other end (killed, crashed) is the parent's to read.
"""

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_training import samples

REJECTED = 2
ROWS_AT_ONCE = 4096
MAX_ANSWERS = 1 << 30


def main(arguments: list[str]) -> int:
    """Answer the rows in a file; leave the outputs by name in another."""
    model_folder, rows, answers = map(Path, arguments[:3])
    memory, seconds = int(arguments[3]), int(arguments[4])
    feeds = samples.load(rows)
    # RLIMIT_DATA counts what the process may write to, so unlike RLIMIT_AS it is not used up by mapped libraries.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 2))  # should the parent be gone
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_ANSWERS, MAX_ANSWERS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    from modelwright_server import model  # noqa: PLC0415 - needs memory, which is limited only now
    from modelwright_server.rejection import ModelRejectedError  # noqa: PLC0415

    try:
        loaded = model.load(model_folder, threads=1)
        count = len(next(iter(feeds.values())))
        parts: list[list[npt.NDArray[Any]]] = []
        for start in range(0, count, ROWS_AT_ONCE):
            taken = {name: array[start : start + ROWS_AT_ONCE] for name, array in feeds.items()}
            parts.append(loaded.run(taken, min(ROWS_AT_ONCE, count - start)))
    except (ModelRejectedError, model.InferenceError, MemoryError) as error:
        sys.stderr.write(f"{str(error) or 'it needs more memory'}\n")
        return REJECTED
    names = [spec.name for spec in loaded.schema.outputs]
    columns = [np.concatenate(found) for found in zip(*parts, strict=True)]
    samples.save(answers, dict(zip(names, columns, strict=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
