"""The demo itself, in a namespace of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.demo import loop
from tests.demo.__main__ import tell
from tests.demo.customers import SHIFTED
from tests.demo.progress import DemoError, Narrator
from tests.e2e.fixtures import JOBS, Team, claim, condition, training_job

if TYPE_CHECKING:
    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster


def test_the_quickstart_is_followed_and_served_as_trained(
    installation: Installation, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(installation, namespace, Narrator())
    said = capsys.readouterr().out
    for expected in ("stage train", "made ModelVersion", "server is ready", "accuracy", "curl --json", '"outputs"'):
        assert expected in said


@pytest.mark.timeout(900)
def test_traffic_that_shifts_ends_in_a_version_that_fits_it(
    installation: Installation, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three objects are applied; then nobody does anything but ask, and bring new labelled rows to the lake."""
    seen = loop.close(installation, namespace, Narrator())
    print(said := capsys.readouterr().out)
    assert f"{SHIFTED} (PSI" in said, "the feature that drifted is named, with numbers"
    status = seen["status"]
    made = [item["metadata"]["name"] for item in Team(installation.cluster, namespace, installation).find(JOBS)]
    assert len(made) == 2, "one episode has one run"
    last = status["retraining"]["lastRun"]
    assert (last["outcome"], last["version"]) == ("Promoted", status["stable"]["version"])
    events = [item["event"] for item in status["history"]]
    steps = ["StepStarted"] * 2
    expected = ["DriftDetected", "RetrainingStarted", "RolloutStarted", *steps, "Promoted", "Retrained"]
    predictions = ("PredictionDriftDetected ",)  # may drift as well
    told = [item["event"] for item in status["history"] if not item["message"].startswith(predictions)]
    assert [event for event in told if event in expected] == expected, told
    assert "NoDrift" in events[events.index("Promoted") :], "what it is compared with is its own baseline"
    assert status["monitoring"]["version"] == status["stable"]["version"]
    assert status["monitoring"]["total"]["windows"] <= 3, "as many as the rules look at"
    assert sum("DataDriftDetected is True" in item["message"] for item in status["history"]) == 1, status["history"]
    assert condition(seen, "DataDriftDetected")["reason"] == "NoDrift"


def test_a_stalled_object_ends_it_at_once(installation: Installation, namespace: str) -> None:
    broken = training_job("broken", data=[{"name": "all", "uri": "sklearn://no_such_data"}])
    installation.cluster.apply([claim(), broken], namespace)
    with pytest.raises(DemoError, match=r"TrainingJob broken is stalled\. DataNotFound"):
        tell(installation, namespace, Narrator())
