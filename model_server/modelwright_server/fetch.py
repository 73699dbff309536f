"""Bring a verified artifact into the pod: ``python -m modelwright_server.fetch [--verify]``.

The serving pod's init container copies the artifact to the model folder, checking every byte, and
imports nothing slow.  With ``--verify`` (the Job that verifies a ModelVersion) the copy is also
loaded and run once, in a child process with limits: a hostile model takes down the child only.

Ends with a termination message and an exit code of `contract.ExitCode`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelwright_server import artifact, schema, stores, termination
from modelwright_server.contract import ExitCode, FetchSettings, Reason, SettingsError

VERIFY_SECONDS = 120.0
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_DEFAULT_MEMORY = 2 << 30
# Linear algebra that is not used would take memory for each of the node's cores.
_CHILD_ENV = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}


class ModelRejectedError(Exception):
    """The model does not load, does not run, or is not what its schema says."""


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Fetch, and verify if asked; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelwright_server.fetch", description=__doc__)
    parser.add_argument("--verify", action="store_true", help="also load and run the model, in a limited process")
    verify = parser.parse_args(arguments).verify
    stage = "verify" if verify else "fetch"
    try:
        settings = FetchSettings.from_env(env)
    except SettingsError as error:
        sys.stderr.write(f"{stage}: {error}\n")
        return ExitCode.PERMANENT
    try:
        message = _fetch(settings, stage)
        if verify:
            message |= _verify(settings)
    except (artifact.ArtifactError, stores.StoreAddressError, ModelRejectedError) as error:
        return _failed(settings, stage, _reason(error), str(error), ExitCode.PERMANENT)
    except (stores.StoreUnavailableError, OSError) as error:
        return _failed(settings, stage, Reason.STORAGE_UNAVAILABLE, str(error), ExitCode.RETRY)
    termination.write(settings.termination_log, message, optional="schema")
    return ExitCode.DONE


def _reason(error: Exception) -> Reason:
    match error:
        case artifact.ArtifactError():
            return error.reason
        case ModelRejectedError():
            return Reason.MODEL_REJECTED
        case _:
            return Reason.ARTIFACT_INVALID


def _failed(settings: FetchSettings, stage: str, reason: Reason, problem: str, code: ExitCode) -> int:
    text = f"{settings.artifact_uri}: {problem}"
    sys.stderr.write(f"{stage}: {reason}: {text}\n")
    termination.write(settings.termination_log, termination.failure(stage, reason, text))
    return code


def _fetch(settings: FetchSettings, stage: str) -> dict[str, object]:
    """Copy the artifact to the model folder; return what to report."""
    source = stores.resolve(stores.parse(settings.artifact_uri), Path(settings.stores_dir))
    manifest = artifact.copy_verified(
        source,
        Path(settings.model_dir),
        settings.artifact_digest,
        max_bytes=settings.max_artifact_bytes,
    )
    return {"stage": stage, "digest": manifest.digest, "sizeBytes": manifest.size}


def _verify(settings: FetchSettings) -> dict[str, object]:
    """Check the schema here and the model in a limited child; return what to report."""
    signature = schema.parse((Path(settings.model_dir) / artifact.SCHEMA).read_bytes())
    memory = settings.verify_memory_bytes or _memory_limit()
    command = [sys.executable, "-m", "modelwright_server.inspection", settings.model_dir, str(memory)]
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            command,
            stdout=subprocess.PIPE,
            timeout=VERIFY_SECONDS,
            check=False,
            env=dict(os.environ) | _CHILD_ENV,
        )
    except subprocess.TimeoutExpired as error:
        problem = f"the model took more than {VERIFY_SECONDS:.0f} s to load and answer one row"
        raise ModelRejectedError(problem) from error
    if child.returncode != ExitCode.DONE:
        raise ModelRejectedError(_child_problem(child.returncode, child.stdout, memory))
    return {"task": signature.task.value, "schema": signature.to_document()}


def _child_problem(code: int, output: bytes, memory: int) -> str:
    """Say what ended the child: its own finding, or what the system says of its end."""
    limit = f"with {memory >> 20} MiB of memory"
    if code == ExitCode.PERMANENT:
        try:
            return str(json.loads(output)["problem"])
        except (ValueError, KeyError, TypeError):
            return f"the model's check ended with code {code} and no finding, {limit}"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"loading or running the model ended its process by {name}, {limit}"
    return f"loading or running the model ended its process with code {code}, {limit}"


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
