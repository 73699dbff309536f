"""Whether what is served is what was trained: the holdout rows as real requests, against record and scikit-learn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_operator import api
from modelwright_operator.render.training import job_config
from modelwright_operator.settings import Settings
from modelwright_training import measure, train
from modelwright_training.classification import Classified
from modelwright_training.dataset import load
from tests.demo.progress import DemoError
from tests.e2e.fixtures import rows_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from tests.cluster.client import Cluster

Object = dict[str, Any]

_OK = 200
TOLERANCE = 1e-5
"""How far a served probability may be from scikit-learn's: ONNX graphs compute in float32."""


@dataclass(frozen=True)
class Holdout:
    """The rows a TrainingJob held out, and what scikit-learn makes of them when it trains the same model here.

    Attributes:
        rows: float32 [n, d].
        labels: the true classes [n], as texts or numbers.
        classes: all classes, in the order of the probabilities.
        probabilities: of scikit-learn, float64 [n, classes].
    """

    rows: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What the served model answered.

    Attributes:
        metrics: measured from the answers, by name.
        difference: largest difference of a served probability to scikit-learn's.
    """

    metrics: Mapping[str, float]
    difference: float


def holdout(training_job: Object, images: Mapping[str, str]) -> Holdout:
    """Return the holdout of a TrainingJob on sklearn:// data, after training its model in this process too."""
    settings = Settings(images["serving"], images["training"], images.get("feast", ""))
    job = job_config(api.TrainingJob.model_validate(training_job), settings)
    data = load(job, train.task_of(job))
    pipeline, _ = train.fit(job, data)
    values = data.holdout.values
    return Holdout(
        rows=values.feed()["input"],
        labels=data.holdout.target,
        classes=np.asarray(pipeline.classes_),
        probabilities=pipeline.predict_proba(values.native()),
    )


def ask(cluster: Cluster, namespace: str, service: str, path: str, held: Holdout) -> Verdict:
    """Send each holdout row in a request of its own over a connection of its own, and judge the answers.

    Raises:
        DemoError: an answer is not what the protocol promises.
        OSError: nothing answers.
    """
    labels: list[Any] = []
    probabilities: list[list[float]] = []
    for row in held.rows:
        answer = cluster.http(
            service,
            namespace,
            path,
            method="POST",
            body=json.dumps(rows_body([row.tolist()])).encode(),
            headers={"Content-Type": "application/json"},
        )
        if answer.status != _OK:
            message = f"POST {path} was answered with {answer.status}: {answer.body[:500].decode(errors='replace')}"
            raise DemoError(message)
        outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
        labels.extend(outputs["label"])
        probabilities.append(outputs["probabilities"])
    scores = np.asarray(probabilities, dtype=np.float32)
    found = measure.measure(Classified.of(held.labels, np.asarray(labels), scores, held.classes))
    return Verdict(
        metrics={metric.name: metric.value for metric in found},
        difference=float(np.max(np.abs(scores - held.probabilities))),
    )


def judge(verdict: Verdict, version: Object) -> str | None:
    """Return what is wrong with the answers, held against the ModelVersion's record; None if nothing is."""
    recorded = {metric["name"]: metric["value"] for metric in version["spec"]["metrics"]}
    if verdict.metrics["accuracy"] != recorded["accuracy"]:
        return (
            f"the served accuracy {verdict.metrics['accuracy']} is not the {recorded['accuracy']} "
            f"that ModelVersion {version['metadata']['name']} records"
        )
    if verdict.difference > TOLERANCE:
        return f"a served probability is {verdict.difference:.1e} from scikit-learn's, more than {TOLERANCE:.0e}"
    return None
