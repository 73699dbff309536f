"""The demo itself, in a namespace of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.demo.__main__ import tell
from tests.demo.progress import DemoError, Narrator
from tests.e2e.fixtures import claim, training_job

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


def test_a_stalled_object_ends_it_at_once(installation: Installation, namespace: str) -> None:
    broken = training_job("broken", data=[{"name": "all", "uri": "sklearn://no_such_data"}])
    installation.cluster.apply([claim(), broken], namespace)
    with pytest.raises(DemoError, match=r"TrainingJob broken is stalled\. DataNotFound"):
        tell(installation, namespace, Narrator())
