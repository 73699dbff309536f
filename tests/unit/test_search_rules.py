"""What users may write as a search for parameters: schema and CEL rules accept and refuse, as the API server would."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator.errors import Refused
from tests.support import builders as make
from tests.support.fake_cluster import FakeCluster

Raw = dict[str, Any]

JOB = make.training_job


def searched(*space: Raw, **fields: Any) -> make.Maker:
    return JOB().spec(tuning={"space": list(space) or [{"parameter": "C", "values": [1, 2, 3]}], **fields})


ACCEPTED = {
    "a search": JOB().spec(
        tuning={
            "maxTrials": 4,
            "metric": "roc_auc",
            "space": [
                {"parameter": "C", "min": 0.001, "max": 10, "scale": "Log"},
                {"parameter": "max_iter", "min": 100, "max": 300, "step": 100, "type": "Integer"},
                {"parameter": "solver", "values": ["lbfgs", 1, 0.5, True, [1, 2]]},
            ],
        }
    ),
    "a search by halves": JOB().spec(
        tuning={"algorithm": "SuccessiveHalving", "space": [{"parameter": "C", "values": [1, 2, 3, 4]}]}
    ),
    "a search for an estimator": JOB().spec(
        task="Regression", trainer=None, tuning={"algorithm": "AutoML", "metric": "mae"}
    ),
    "a grid": JOB().spec(
        tuning={
            "algorithm": "Grid",
            "space": [
                {"parameter": "a", "min": 0, "max": 1, "step": 0.5},
                {"parameter": "b", "min": 1, "max": 3, "type": "Integer"},
                {"parameter": "c", "values": [1]},
            ],
        }
    ),
}

REFUSED: dict[str, tuple[make.Maker, str]] = {
    "a search through an own image": (
        searched().spec(task="Classification", trainer={"container": {"image": "registry.test/team/own:1"}}),
        "your image can search by itself",
    ),
    "a search of nothing": (JOB().spec(tuning={"space": []}), "space: has 0 items"),
    "a search of one parameter twice": (
        JOB().spec(tuning={"space": [{"parameter": "C", "values": [1]}, {"parameter": "C", "values": [2]}]}),
        "duplicate value",
    ),
    "a parameter with neither values nor a range": (searched({"parameter": "C"}), "oneOf"),
    "a parameter with both": (searched({"parameter": "C", "values": [1], "min": 1, "max": 2}), "oneOf"),
    "a parameter with half a range": (searched({"parameter": "C", "min": 1}), "oneOf"),
    "a parameter without a value": (searched({"parameter": "C", "values": []}), "values: has 0 items"),
    "a range upside down": (searched({"parameter": "C", "min": 2, "max": 1}), "min must be below max"),
    "a Log scale from zero": (searched({"parameter": "C", "min": 0, "max": 1, "scale": "Log"}), "above 0 on a Log"),
    "a step on a Log scale": (
        searched({"parameter": "C", "min": 1, "max": 9, "scale": "Log", "step": 1}),
        "step must be above 0",
    ),
    "a step wider than the range": (searched({"parameter": "C", "min": 1, "max": 2, "step": 3}), "step must be above"),
    "a step of nothing": (searched({"parameter": "C", "min": 1, "max": 2, "step": 0}), "step must be above 0"),
    "a step between values": (searched({"parameter": "C", "values": [1], "step": 1}), "step must be above 0"),
    "fractions for whole numbers": (
        searched({"parameter": "C", "min": 0.5, "max": 2, "type": "Integer"}),
        "must be whole numbers",
    ),
    "a continuous grid": (searched({"parameter": "C", "min": 1, "max": 2}, algorithm="Grid"), "a Grid needs values"),
    "more trials at once than there are": (searched(maxTrials=2, parallelism=3), "parallelism must not be above"),
    "more failures than trials": (searched(maxTrials=2, maxFailedTrials=2), "maxFailedTrials must be below"),
    "more patience than trials": (searched(maxTrials=2, earlyStop={"patience": 2}), "patience must be below"),
    "a search by halves with patience": (
        searched(algorithm="SuccessiveHalving", earlyStop={"patience": 2}),
        "earlyStop is not for",
    ),
    "a search by halves of three": (searched(algorithm="SuccessiveHalving", maxTrials=3), "maxTrials of 4 at least"),
    "AutoML with a space": (
        searched(algorithm="AutoML").spec(task="Regression", trainer=None),
        "space names what to search",
    ),
    "AutoML with a trainer": (
        JOB().spec(task="Classification", tuning={"algorithm": "AutoML"}),
        "give it, unless spec.tuning.algorithm is AutoML",
    ),
    "AutoML without a task": (
        JOB().spec(trainer=None, tuning={"algorithm": "AutoML"}),
        "spec.task must be Classification or Regression",
    ),
    "AutoML by another task's metric": (
        JOB().spec(task="Regression", trainer=None, tuning={"algorithm": "AutoML", "metric": "accuracy"}),
        "none that regression has",
    ),
    "neither trainer nor AutoML": (searched().spec(trainer=None), "spec.trainer says how to train"),
    "a search without a space": (JOB().spec(tuning={"algorithm": "Random"}), "space names what to search"),
    "a search by another task's metric": (
        searched(metric="rmse").spec(task="Classification"),
        "none that classification has",
    ),
    "a search by a metric that is none": (searched(metric="luck"), "not one of"),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_search_is_accepted(what: str) -> None:
    stored = FakeCluster().create(ACCEPTED[what].raw)
    assert stored["status"]["observedGeneration"] == -1


@pytest.mark.parametrize("what", REFUSED)
def test_a_search_is_refused(what: str) -> None:
    maker, said = REFUSED[what]
    with pytest.raises(Refused, match=said):
        FakeCluster().create(maker.raw)
