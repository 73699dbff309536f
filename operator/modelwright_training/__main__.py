"""One stage of a training Job: `python -m modelwright_training STAGE`."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from modelwright_training import contract, log, termination
from modelwright_training.contract import ExitCode, Result, Stage
from modelwright_training.errors import StageError
from modelwright_training.settings import Settings

# Before any stage imports onnxruntime, or anything with OpenMP: its threads otherwise spin while they wait, which made
# histogram boosting six times slower where threads outnumber processors, as they do in a pod with a CPU limit.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HELP = {
    Stage.FETCH: "read the data sets into the workspace and record their digests",
    Stage.FEATURES: "join a feature store's features to the rows, as they were at each row's time",
    Stage.SPLIT: "take in what features and the user's own image left, and hand over the rows to train on",
    Stage.TRAIN: "fit the estimator",
    Stage.EVALUATE: "convert to ONNX, compare with scikit-learn, measure on the holdout",
    Stage.LATENCY: "time the ONNX model as the server runs it",
    Stage.PUBLISH: "verify the artifact and store it under its digest",
    Stage.TRIAL: "cross-validate one trial of a search",
}

_MODULES = {Stage.FEATURES: "feature_store.stage", Stage.SPLIT: "split_off"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; return its exit code, leaving its message for the operator."""
    parser = argparse.ArgumentParser(
        prog="python -m modelwright_training",
        description="Run one stage of a training Job.",
        epilog=f"The job is read from {contract.ENV_JOB}; see modelwright_training.contract.",
    )
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage, does in _HELP.items():
        stages.add_parser(stage, help=does, description=does.capitalize() + ".")
    stage = Stage(parser.parse_args(arguments).stage)
    log.start()
    message_file = Path(os.environ.get(contract.ENV_TERMINATION_LOG, contract.DEFAULT_TERMINATION_LOG))
    try:
        text = termination.result_text(_run(stage, Settings.from_environment(os.environ)))
    except StageError as error:
        log.logger.error("%s failed, %s: %s", stage, error.reason, error)
        termination.write(termination.failure_text(stage, error), message_file)
        return error.exit_code
    termination.write(text, message_file)
    return ExitCode.DONE


def _run(stage: Stage, settings: Settings) -> Result:
    """Import only the stage that runs: they start one after the other, and publish needs no library."""
    module = importlib.import_module(f"modelwright_training.{_MODULES.get(stage, stage)}")
    return cast("Callable[[Settings], Result]", module.run)(settings)


if __name__ == "__main__":
    sys.exit(main())
