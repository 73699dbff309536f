"""The worker's own limit on memory, below the container's.

At the container's limit the kernel ends whatever process is biggest, and with PID 1 the container.  Below it the
worker gets a MemoryError, ends, and is started again.
"""

import resource
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# Of the container's groups: version 2 of the kernel's interface, and version 1.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# For the supervisor, the control folder in memory and the kernel's own.
RESERVED_BYTES = 16 << 20
_NO_LIMIT = 1 << 60  # version 1 says so by a number beyond all memory


def container_limit(files: Iterable[Path] = CGROUP_LIMITS) -> int | None:
    """Return the container's limit in bytes; None: there is none."""
    for file in files:
        with suppress(OSError, ValueError):
            limit = int(file.read_text(encoding="ascii"))
            return limit if limit < _NO_LIMIT else None
    return None


def bound(limit: int | None) -> None:
    """Keep this process so far below a container's limit that the container never reaches it."""
    if limit is not None:
        # RLIMIT_DATA counts what the process may write to, so unlike RLIMIT_AS no libraries and no shared memory.
        data = max(limit - RESERVED_BYTES, RESERVED_BYTES)
        resource.setrlimit(resource.RLIMIT_DATA, (data, data))
