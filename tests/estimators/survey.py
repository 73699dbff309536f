"""Every classifier and regressor of scikit-learn, tried on tables with all that users' tables have.

`python -m tests.estimators.survey` writes what comes out into docs/reference/estimators.md; a test tries each again and
compares. Nothing is taken from the parity gate's own report: converted models are compared anew, on rows the gate never
saw.
"""

import contextlib
import math
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.utils import all_estimators

from modelwright_training import contract, features
from modelwright_training.contract import Columns
from modelwright_training.errors import StageError
from tests.training.builders import Model, job, make

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "estimators.md"
ROWS, FRESH = 240, 400
SMALLEST = -6  # differences below a millionth are no figure worth keeping: processors differ
LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}
FOREST = {"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": {"n_estimators": 10}}
RIDGE = {"estimator": "sklearn.linear_model.Ridge"}
REGRESSION_FOREST = {"estimator": "sklearn.ensemble.RandomForestRegressor", "parameters": {"n_estimators": 10}}
TWO = {"estimators": [LOGISTIC, FOREST]}
TWO_REGRESSORS = {"estimators": [RIDGE, REGRESSION_FOREST]}
MINMAX = {"estimator": "sklearn.preprocessing.MinMaxScaler"}
BEFORE = [
    {"estimator": "sklearn.preprocessing.StandardScaler"},
    {"estimator": "sklearn.decomposition.PCA", "parameters": {"n_components": 4}},
]

# Parameters without which an estimator cannot be made, would take long, or has nothing to say.
NEEDED: dict[str, dict[str, Any]] = {
    "AdaBoostClassifier": {"n_estimators": 5},
    "AdaBoostRegressor": {"n_estimators": 5},
    "CalibratedClassifierCV": {"method": "sigmoid", "estimator": FOREST},
    "CCA": {"n_components": 1},
    "ClassifierChain": {"estimator": LOGISTIC},
    "ExtraTreesClassifier": {"n_estimators": 10},
    "ExtraTreesRegressor": {"n_estimators": 10},
    "FixedThresholdClassifier": {"estimator": LOGISTIC},
    "GradientBoostingClassifier": {"n_estimators": 20},
    "GradientBoostingRegressor": {"n_estimators": 20},
    "HistGradientBoostingClassifier": {"max_iter": 20},
    "HistGradientBoostingRegressor": {"max_iter": 20},
    "MultiOutputClassifier": {"estimator": LOGISTIC},
    "MultiOutputRegressor": {"estimator": RIDGE},
    "OneVsOneClassifier": {"estimator": LOGISTIC},
    "OneVsRestClassifier": {"estimator": LOGISTIC},
    "OutputCodeClassifier": {"estimator": LOGISTIC},
    "PLSCanonical": {"n_components": 1},
    "QuadraticDiscriminantAnalysis": {"reg_param": 0.1},
    "RadiusNeighborsClassifier": {"radius": 100.0},
    "RadiusNeighborsRegressor": {"radius": 100.0},
    "RandomForestClassifier": {"n_estimators": 10},
    "RandomForestRegressor": {"n_estimators": 10},
    "RegressorChain": {"estimator": RIDGE},
    "SelfTrainingClassifier": {"estimator": LOGISTIC},
    "StackingClassifier": TWO,
    "StackingRegressor": TWO_REGRESSORS,
    "TransformedTargetRegressor": {"regressor": RIDGE},
    "TunedThresholdClassifierCV": {"estimator": LOGISTIC},
    "VotingClassifier": {**TWO, "voting": "soft"},
    "VotingRegressor": TWO_REGRESSORS,
}
# Settings that convert differently, or are known to convert wrongly (facts of scikit-learn's and skl2onnx's trackers).
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("sklearn.calibration.CalibratedClassifierCV", {"method": "sigmoid"}),
    ("sklearn.calibration.CalibratedClassifierCV", {"method": "isotonic", "estimator": LOGISTIC}),
    ("sklearn.calibration.CalibratedClassifierCV", {"method": "temperature", "estimator": LOGISTIC}),
    ("sklearn.ensemble.BaggingClassifier", {"estimator": LOGISTIC}),
    ("sklearn.ensemble.HistGradientBoostingClassifier", {"categorical_features": [0], "max_iter": 20}),
    ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "poisson", "max_iter": 20}),
    ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "gamma", "max_iter": 20}),
    ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "quantile", "quantile": 0.9, "max_iter": 20}),
    ("sklearn.ensemble.VotingClassifier", {**TWO, "voting": "hard"}),
    ("sklearn.model_selection.GridSearchCV", {"estimator": LOGISTIC, "param_grid": {"C": [0.1, 1.0]}, "cv": 3}),
    ("sklearn.pipeline.Pipeline", {"steps": [*BEFORE, LOGISTIC]}),
    ("sklearn.pipeline.Pipeline", {"steps": [*BEFORE, RIDGE]}),
    ("sklearn.pipeline.Pipeline", {"steps": [MINMAX, {"estimator": "sklearn.naive_bayes.ComplementNB"}]}),
    ("sklearn.pipeline.Pipeline", {"steps": [MINMAX, {"estimator": "sklearn.naive_bayes.MultinomialNB"}]}),
    ("sklearn.svm.SVC", {"probability": True}),
]


@dataclass(frozen=True)
class Entry:
    """One row of the table: an estimator's path and parameters, and the tables it is tried on."""

    path: str
    parameters: dict[str, Any]
    tables: tuple[str, str]


CLASSES, NUMBERS = ("two", "three"), ("mixed", "numeric")
HEADS = {
    "two": "two classes, mixed columns",
    "three": "three classes, numbers",
    "mixed": "mixed columns",
    "numeric": "numbers",
}
NOTICE = "<!-- Generated by `python -m tests.estimators.survey`; do not edit. -->"
INTRODUCTION = """\
Every classifier and regressor of scikit-learn, as `trainer.sklearn` trains it: converted to ONNX and compared with
scikit-learn on 400 rows that neither training nor the [parity](../training.md#parity) gate has seen. Mixed columns
are texts, whole numbers, codes, truth values and numbers with gaps. `parameters` are those that the trial needs;
estimators inside others are [written](../training.md#estimators-inside-others) in full in a TrainingJob.

| cell | meaning |
|---|---|
| `1e-6` and so on | Served. The largest difference is at most that: of a probability, or else the share of other \
labels; of a regression in standard deviations of the target. |
| `EstimatorInvalid` | Refused before training, since it converts wrongly or not at all. |
| `TrainingFailed` | scikit-learn does not fit it to such data: several targets, no negative numbers, one column. |
| `ConversionFailed` | Refused after training: there is no converter. |
| `ParityFailed` | Refused after training: the converted model answers something else. |

What your data and parameters do, each run finds out for itself.""".splitlines()


@cache
def entries() -> list[Entry]:
    """Return all estimators of both kinds, then the variants, sorted within the kind."""
    found: list[Entry] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        listed = [(kind, name, cls) for kind in ("classifier", "regressor") for name, cls in all_estimators(kind)]
    for kind, name, cls in listed:
        path = f"{cls.__module__.split('._')[0]}.{name}"
        found.append(Entry(path, NEEDED.get(name, {}), CLASSES if kind == "classifier" else NUMBERS))
    for path, parameters in VARIANTS:
        regresses = "Regressor" in path or RIDGE in parameters.get("steps", [])
        found.append(Entry(path, parameters, NUMBERS if regresses else CLASSES))
    return sorted(found, key=lambda entry: (entry.tables != CLASSES, entry.path, str(entry.parameters)))


@cache
def table(name: str, rows: int, seed: int) -> Any:
    """Return rows: texts, whole numbers, codes, truth values and gaps with two classes or a number; or numbers only."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 5))
    score = x[:, 0] + np.abs(x[:, 1]) - 0.5 * x[:, 2] + random.normal(0, 0.5, rows)
    plan = random.choice(["basic", "plus", "pro é"], rows)
    score += plan == "plus"
    if name in {"three", "numeric"}:
        columns = {f"x{index}": x[:, index] for index in range(5)}
        target = np.digitize(score, [0.3, 1.2]) if name == "three" else np.exp(score / 3)
        return pa.table({**columns, "target": target})
    gaps = np.where(random.random(rows) < 0.15, np.nan, x[:, 2])
    return pa.table(
        {
            "plan": plan.tolist(),
            "visits": np.round(np.exp(x[:, 0]) * 5).astype(int),
            "income": x[:, 1] * 1e4 + 5e4,
            "gaps": gaps,
            "member": x[:, 3] > 0,
            "code": random.integers(1, 5, rows),
            "target": np.where(score > 1, "yes", "no") if name == "two" else np.exp(score / 3),
        }
    )


def outcome(entry: Entry, name: str) -> str:
    """Try an estimator; return the figure of a model that agrees, or the reason it was refused for."""
    config = job(entry.path, entry.parameters, columns=Columns((), ("code",) if name in {"two", "mixed"} else ()))
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        try:
            model = make(config, {"train": table(name, ROWS, 1)})
        except StageError as error:
            return f"`{error.reason}`"
        return figure(largest_difference(model, table(name, FRESH, 2)))


def largest_difference(model: Model, fresh: Any) -> float:
    """Compare on rows that nothing has seen: probabilities, or else labels; numbers in standard deviations."""
    values = features.extract(fresh, model.data.features, np.arange(fresh.num_rows))
    outputs, rows = model.runtime.predict(values), values.native()
    native = np.asarray(model.fitted.predict(rows))
    if model.data.task is contract.Task.REGRESSION:
        return float(np.max(np.abs(outputs[0][:, 0] - native.reshape(-1))) / np.std(model.data.train.target))
    if len(outputs) == 1:
        return float(np.mean(outputs[0] != native))
    probabilities = model.fitted.predict_proba(rows)
    ranked = np.sort(probabilities, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2e-5  # the rest are ties, where either label is right
    unlike = bool(np.any((outputs[0] != native) & clear))
    return max(float(np.max(np.abs(outputs[1] - probabilities))), float(unlike))


def figure(difference: float) -> str:
    """Return the power of ten a difference is below."""
    if difference <= 10.0**SMALLEST:
        return f"`1e{SMALLEST}`"
    return f"`1e{math.ceil(math.log10(difference))}`"


def label(entry: Entry) -> list[str]:
    """Return what an entry's row begins with."""
    return [f"`{entry.path.removeprefix('sklearn.')}`", _flow(entry.parameters)]


def page() -> str:
    """Return the page."""
    lines = [NOTICE, "", "# Estimators", "", *INTRODUCTION]
    for title, tables in (("Classifiers", CLASSES), ("Regressors", NUMBERS)):
        lines += ["", f"## {title}", "", f"| `sklearn.…` | parameters | {' | '.join(HEADS[name] for name in tables)} |"]
        lines.append("|---|---|---|---|")
        lines += [
            _line([*label(entry), *(outcome(entry, name) for name in tables)])
            for entry in entries()
            if entry.tables == tables
        ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        if value.keys() <= {"estimator", "parameters"} and isinstance(value.get("estimator"), str):
            return str(value["estimator"]).rsplit(".", 1)[-1]
        return ", ".join(f"{key}: {_flow(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


def main() -> int:
    """Write the page; return 1 if that changed it."""
    text = page()
    changed = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text
    PAGE.write_text(text, encoding="utf-8")
    print(f"{'wrote' if changed else 'same as before:'} {PAGE.name}")
    return int(changed)


if __name__ == "__main__":
    sys.exit(main())
