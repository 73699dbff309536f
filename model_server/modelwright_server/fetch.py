"""Bring a verified artifact into the pod: ``python -m modelwright_server.fetch [--verify]``.

The serving pod's init container brings the artifact to the model folder, checking every byte, and
looks through schema and graph; it imports nothing slow and never runs the model.  With ``--verify``
(the Job that verifies a ModelVersion) the copy is also loaded and run, in a child process with
limits on memory and time: a hostile model takes down the child only, never who reports it.

Ends with a termination message and an exit code of `contract.ExitCode`; when it has failed, the model folder is empty.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from modelwright_server import artifact, graph, schema, signature, stores, termination, transfer
from modelwright_server.contract import (
    SECRET_PREFIX,
    VERIFY_FLAG,
    Cause,
    ExitCode,
    FetchSettings,
    Reason,
    SettingsError,
)
from modelwright_server.contract.signing import parse_keys
from modelwright_server.rejection import ModelRejectedError

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_DEFAULT_MEMORY = 2 << 30
_PR_SET_DUMPABLE = 4
# Linear algebra that is not used would take memory for each of the node's cores.
_CHILD_ENV = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Fetch, and verify if asked; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelwright_server.fetch", description=__doc__)
    parser.add_argument(VERIFY_FLAG, action="store_true", help="also load and run the model, in a limited process")
    verify = parser.parse_args(arguments).verify
    stage = "verify" if verify else "fetch"
    try:
        settings = FetchSettings.from_env(env)
    except SettingsError as error:
        sys.stderr.write(f"{stage}: {error}\n")
        return ExitCode.PERMANENT
    try:
        message = _fetch(settings, stage, env, verify=verify)
    except (stores.StoreUnavailableError, OSError) as error:
        return _failed(settings, stage, error, ExitCode.RETRY)
    except (artifact.ArtifactError, stores.StoreError, ModelRejectedError) as error:
        return _failed(settings, stage, error, ExitCode.PERMANENT)
    termination.write(settings.termination_log, message, optional="schema")
    return ExitCode.DONE


def _failed(settings: FetchSettings, stage: str, error: Exception, code: ExitCode) -> int:
    cause = None
    match error:
        case artifact.ArtifactError():
            reason = error.reason
        case ModelRejectedError():
            reason, cause = error.reason, error.cause
        case stores.StoreAddressError():
            reason = Reason.ARTIFACT_INVALID
        case stores.StoreForbiddenError():
            reason = Reason.STORAGE_FORBIDDEN
        case _:
            reason = Reason.STORAGE_UNAVAILABLE
    text = f"{settings.artifact_uri}: {error}"
    sys.stderr.write(f"{stage}: {'/'.join(filter(None, (reason, cause)))}: {text}\n")
    termination.write(settings.termination_log, termination.failure(stage, reason, text, cause))
    return code


def _fetch(settings: FetchSettings, stage: str, env: Mapping[str, str], *, verify: bool) -> dict[str, object]:
    """Bring the artifact to the model folder if it and its model are right; return what to report."""
    found: dict[str, object] = {}

    def accept(folder: Path) -> None:
        interface = schema.parse((folder / artifact.SCHEMA).read_bytes())
        graph.check(folder / artifact.MODEL)
        if verify:
            _try_out(folder, settings)
            found.update(task=interface.task.value, schema=interface.to_document())

    def endorse(manifest: artifact.Manifest, signed: bytes | None) -> None:
        key = signature.verify(signed, manifest, keys, required=settings.signature_required)
        if key is not None:
            found["keyId"] = key

    keys = parse_keys(settings.trusted_keys)
    access = stores.Access.from_env(
        env,
        endpoint=settings.artifact_endpoint,
        region=settings.artifact_region,
        secret=settings.artifact_secret,
    )
    manifest = transfer.copy_verified(
        transfer.Source(stores.parse(settings.artifact_uri), access, Path(settings.stores_dir)),
        Path(settings.model_dir),
        settings.artifact_digest,
        max_bytes=settings.max_artifact_bytes,
        accept=accept,
        endorse=endorse if keys or settings.signature_required else None,
    )
    return {"stage": stage, "digest": manifest.digest, "sizeBytes": manifest.size, **found}


def _try_out(folder: Path, settings: FetchSettings) -> None:
    """Load and run the model in a limited child.

    Raises:
        ModelRejectedError: says how that ended.
    """
    memory, seconds = settings.verify_memory_bytes or _memory_limit(), settings.verify_seconds
    command = [sys.executable, "-m", "modelwright_server.inspection", str(folder), str(memory), str(seconds)]
    # The child runs what may be hostile: it must find the store's credentials neither in its own environment nor here.
    _hide_memory()
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=seconds,
            check=False,
            close_fds=False,  # Python's are closed by exec; finding others takes /proc, which is hidden as well
            env={name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIX)} | _CHILD_ENV,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRejectedError(Cause.TIMED_OUT, problem=_too_long(seconds)) from error
    if child.returncode != ExitCode.DONE:
        raise _finding(child.returncode, child.stdout, seconds, memory)


def _hide_memory() -> None:
    """Let no other process of this user read this one's memory or initial environment (``PR_SET_DUMPABLE``)."""
    import ctypes  # noqa: PLC0415 - no serving pod needs it

    with suppress(OSError, AttributeError):  # no Linux, where no pod runs
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _too_long(seconds: int) -> str:
    return f"the model took more than {seconds} s to load and answer some rows"


def _finding(code: int, output: bytes, seconds: int, memory: int) -> ModelRejectedError:
    """Return what ended the child: its own finding, or what the system says of its end."""
    if code == ExitCode.PERMANENT:
        try:
            said = json.loads(output)
            return ModelRejectedError(Cause(said["cause"]), problem=str(said["problem"]))
        except (ValueError, KeyError, TypeError):
            pass  # then it ended without one
    if code == -signal.SIGXCPU:
        return ModelRejectedError(Cause.TIMED_OUT, problem=_too_long(seconds))
    how = f"with code {code}"
    if code < 0:
        how = f"by {signal.Signals(-code).name if -code in set(signal.Signals) else -code}"
    # The kernel kills what takes a container's last memory, and nothing else here does that.
    cause = Cause.OUT_OF_MEMORY if code == -signal.SIGKILL else Cause.CRASHED
    problem = f"loading or running the model ended its process {how}; it had {memory >> 20} MiB of memory"
    return ModelRejectedError(cause, problem=problem)


def _memory_limit() -> int:
    """Return three quarters of the container's memory limit, in bytes, or 2 GiB.

    The child must stay below the container's limit: reaching that ends all of the container's
    processes at once (``memory.oom.group``), and nobody is left to write the message.
    """
    try:
        text = _CGROUP_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return _DEFAULT_MEMORY
    return int(text) * 3 // 4 if text.isdigit() else _DEFAULT_MEMORY


if __name__ == "__main__":
    sys.exit(main())
