"""The last message of a container: one small JSON object the operator reads from the pod's status.

The kubelet shares 12 KiB among all containers of a pod and cuts what is longer, which would leave
broken JSON: the size is checked here, before writing.  Standard library only.

A failure is ``{"stage": …, "reason": …, "message": …}``, with ``"cause"`` between reason and message where
the reason is ModelRejected; stages are fetch, verify and serve, reasons and causes those of `contract`.
"""

import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelwright_server.contract import MAX_TERMINATION_BYTES, Cause, Reason

MAX_MESSAGE_BYTES = 600


def failure(stage: str, reason: Reason, message: str, cause: Cause | None = None) -> dict[str, object]:
    """Return the message of a failure; a long text is cut, at a character's border."""
    data = message.encode("utf-8", "replace")
    text = data[: MAX_MESSAGE_BYTES - 3].decode("utf-8", "ignore") + "…" if len(data) > MAX_MESSAGE_BYTES else message
    because: dict[str, object] = {"cause": cause.value} if cause else {}
    return {"stage": stage, "reason": reason.value, **because, "message": text}


@contextmanager
def if_killed(path: str, text: str) -> Generator[None]:
    """Leave ``text`` for the kubelet to read should the process be killed inside the block.

    Plain words, so that nobody takes them for a finding: who reads them also knows the exit code and
    whether the container was at its memory limit.  What another process has left is left alone.
    """
    data = text.encode()
    if not _content(path):
        _put(path, data)
    yield
    if _content(path) == data:
        _put(path, b"")


def write(path: str, message: Mapping[str, object], *, optional: str | None = None) -> None:
    """Write ``message`` to ``path``, without its key ``optional`` where it would be too long.

    A container outside Kubernetes has no such file to write: that is said on stderr and is no error.

    Raises:
        ValueError: the message is too long even so.
    """
    data = _encode(message)
    if len(data) > MAX_TERMINATION_BYTES and optional is not None:
        data = _encode({key: value for key, value in message.items() if key != optional})
    if len(data) > MAX_TERMINATION_BYTES:
        text = f"termination message has {len(data)} bytes, the limit is {MAX_TERMINATION_BYTES}"
        raise ValueError(text)
    _put(path, data)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _put(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        sys.stderr.write(f"cannot write the termination message to {path}: {error}\n")


def _encode(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
