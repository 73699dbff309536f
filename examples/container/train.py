"""Train XGBoost or LightGBM (BOOSTER) on the rows that Modelwright hands over; docs/own-code.md is the contract."""

import json
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBClassifier, XGBRegressor

ESTIMATORS = {
    ("xgboost", "Classification"): XGBClassifier,
    ("xgboost", "Regression"): XGBRegressor,
    ("lightgbm", "Classification"): LGBMClassifier,
    ("lightgbm", "Regression"): LGBMRegressor,
}


def progress(percent: int, message: str) -> None:
    """Say how far this is; it is shown as the TrainingJob's status.progress."""
    print(f"progress: {json.dumps({'percent': percent, 'message': message})}", flush=True)  # noqa: T201 - the log is read


def make(columns: dict[str, Any]) -> Any:  # noqa: ANN401 - a pipeline
    """Return a booster behind one-hot encoded texts; gaps in numbers are left to the booster."""
    booster, task = os.environ.get("BOOSTER", "xgboost"), os.environ["MODELWRIGHT_TASK"]
    estimator = ESTIMATORS[booster, task](
        n_estimators=int(os.environ.get("TREES", "100")),
        learning_rate=0.1,
        random_state=int(os.environ["MODELWRIGHT_SEED"]),
        n_jobs=1,
    )
    texts = [feature["name"] for feature in columns["features"] if feature["type"] == "Text"]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).set_output(transform="default")
    return make_pipeline(make_column_transformer((encoder, texts), remainder="passthrough"), estimator)


def main() -> None:
    """Fit, and leave the estimator."""
    data, out = Path(os.environ["MODELWRIGHT_DATA_DIR"]), Path(os.environ["MODELWRIGHT_OUTPUT_DIR"])
    columns = json.loads((data / "columns.json").read_text(encoding="utf-8"))
    rows = pd.read_parquet(data / "train.parquet")
    target = rows[columns["target"]]
    if columns.get("classes"):  # XGBoost wants their numbers; Modelwright gives the labels back
        target = target.map({label: number for number, label in enumerate(columns["classes"])})
    model = make(columns)
    weights = {f"{model.steps[-1][0]}__sample_weight": rows[columns["weight"]]} if "weight" in columns else {}
    progress(10, "fitting")
    model.fit(rows[[feature["name"] for feature in columns["features"]]], target, **weights)
    joblib.dump(model, out / "model.joblib")
    progress(100, "fitted")


if __name__ == "__main__":
    main()
