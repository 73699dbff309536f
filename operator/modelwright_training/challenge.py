# pyright: basic
# (NumPy's own types.)
"""The challenge of the champion, within evaluate: its answers to this holdout, and the gates on regression."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelwright_server.artifact import ArtifactInvalidError
from modelwright_training import champion, comparison, measure
from modelwright_training.champion import Column, NotComparableError
from modelwright_training.classification import Classified
from modelwright_training.comparison import Compared
from modelwright_training.contract import Gate, GateResult, JobConfig, Task, Verdict
from modelwright_training.dataset import Dataset
from modelwright_training.features import Kind, Values
from modelwright_training.log import logger
from modelwright_training.measure import Answers
from modelwright_training.regression import Regressed

PROBLEM_LIMIT = 240  # characters: the message of the stage has to hold them


@dataclass(frozen=True, slots=True)
class Challenge:
    """What came of it: verdicts of the gates on regression, why there is no comparison, and what the report says."""

    gates: tuple[GateResult, ...]
    problem: str | None
    report: dict[str, Any]


def challenge(job: JobConfig, workspace: Path, data: Dataset, mine: Answers, card: Mapping[str, Any]) -> Challenge:
    """Compare the champion's answers to the holdout with the challenger's, whose card says what it is made of."""
    wanted = [(index, gate) for index, gate in enumerate(job.gates) if gate.max_regression is not None]
    if job.champion is None:
        return Challenge(tuple(GateResult(index, Verdict.NO_CHAMPION) for index, _ in wanted), None, {})
    about = {"version": job.champion.version, "digest": job.champion.digest}
    try:
        champion.check_rows(workspace, card)
        theirs = _answers(workspace, data, mine)
    except (NotComparableError, ArtifactInvalidError) as error:
        problem = "".join(character if character.isprintable() else " " for character in str(error))[:PROBLEM_LIMIT]
        logger.warning("the champion %s is not comparable: %s", job.champion.version, problem)
        refused = tuple(GateResult(index, Verdict.NOT_COMPARABLE) for index, _ in wanted)
        return Challenge(refused, problem, {"champion": {**about, "problem": problem}})
    judged = {index: _judged(index, gate, theirs, mine, job.seed) for index, gate in wanted}
    said = {
        **about,
        "rows": len(mine),
        "metrics": {metric.name: _compared(theirs, mine, metric.name) for metric in measure.measure(mine)},
        "gates": [{"gate": index, **_evidence(compared)} for index, (_, compared) in judged.items()],
    }
    if isinstance(mine, Classified) and isinstance(theirs, Classified):
        said["disagreement"] = measure.rounded(float(np.mean(mine.label != theirs.label)))
    return Challenge(tuple(result for result, _ in judged.values()), None, {"champion": said})


def _judged(index: int, gate: Gate, theirs: Answers, mine: Answers, seed: int) -> tuple[GateResult, Compared | None]:
    tolerated = gate.max_regression or 0.0
    found = comparison.compare(theirs, mine, gate.metric, confidence=gate.confidence, seed=seed)
    if found is None:
        return GateResult(index, Verdict.NOT_MEASURED), None
    judged = found.regression if found.limit is None else found.limit
    verdict = Verdict.PASSED if judged <= tolerated else Verdict.FAILED
    rows = found.needed(len(mine), tolerated) if verdict is Verdict.FAILED else None
    return GateResult(index, verdict, found.regression, limit=found.limit, rows=rows), found


def _compared(theirs: Answers, mine: Answers, metric: str) -> dict[str, Any] | None:
    found = comparison.compare(theirs, mine, metric)
    return None if found is None else _evidence(found)


def _evidence(compared: Compared | None) -> dict[str, Any]:
    if compared is None:
        return {}
    found = {"champion": compared.champion, "challenger": compared.challenger, "regression": compared.regression}
    return found if compared.limit is None else {**found, "limit": compared.limit}


def _answers(workspace: Path, data: Dataset, mine: Answers) -> Answers:
    """Return the champion's answers in the challenger's terms.

    Raises:
        NotComparableError: it answers with other classes, or not what its schema says.

    """
    outputs = champion.answers(workspace, columns(data.holdout.values), data.task)
    if isinstance(mine, Regressed):
        if "prediction" not in outputs:
            raise NotComparableError(problem="it has no output 'prediction'")
        return Regressed.of(data.holdout.target, outputs["prediction"].reshape(len(mine)))
    if data.task is not Task.CLASSIFICATION or data.classes is None or "label" not in outputs:
        raise NotComparableError(problem="it has no output 'label'")
    classes, label = data.classes, outputs["label"].reshape(len(mine))
    known = tuple(map(str, classes))
    names = champion.classes_of(workspace)
    said = set(map(str, np.unique(label.astype(str))))
    if (names is not None and names != known) or not said <= set(known):
        theirs = ", ".join(names or sorted(said))[:100]
        raise NotComparableError(problem=f"its classes are {theirs}; here they are {', '.join(known)[:100]}")
    order = {name: index for index, name in enumerate(known)}
    found = np.array([order[name] for name in label.astype(str)], dtype=np.int64)
    probabilities = outputs.get("probabilities")
    scores = None
    if probabilities is not None:
        scores = np.clip(probabilities.astype(np.float64), 0, None)
        total = scores.sum(axis=1, keepdims=True)
        if not np.isfinite(scores).all() or (total <= 0).any():
            raise NotComparableError(problem="its probabilities are not finite, or do not add up to one")
        scores /= total
    return Classified(mine.target, found, scores, mine.classes, mine.positive)


def columns(values: Values) -> dict[str, Column]:
    """Return the holdout's features by column."""
    found = {
        feature.column: Column(feature.kind, values.numbers[:, index].astype(np.float32).astype(np.float64))
        if feature.kind is Kind.FLOAT
        else Column(feature.kind, values.numbers[:, index])
        for index, feature in enumerate(values.features.numeric)
    }
    for index, feature in enumerate(values.features.categorical):
        texts = values.texts[:, index]
        found[feature.column] = Column(feature.kind, texts.astype(np.int64) if feature.kind is Kind.INTEGER else texts)
    return found
