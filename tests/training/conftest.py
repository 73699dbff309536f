import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny, threads only wait for each other

from tests.training.builders import Pod


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    for folder in (
        "workspace",
        "artifact",
        "measures",
        "stores/models",
        "stores/lake",
        "handover/to-prepare",
        "handover/from-prepare",
        "handover/to-train",
        "handover/from-train",
    ):
        (tmp_path / folder).mkdir(parents=True)
    yield Pod(tmp_path)
    logging.captureWarnings(capture=False)  # a stage run in this process turned it on
