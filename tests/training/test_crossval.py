"""Cross-validation within the training rows: how they are dealt out, and what comes of it."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelwright_training import crossval, dataset
from modelwright_training.contract import (
    Task,
)
from modelwright_training.errors import StageError
from modelwright_training.features import Features, Values
from modelwright_training.folds import folds
from modelwright_training.roles import Roles
from tests.training.builders import JOB, LOGISTIC, job


def test_a_rung_fits_on_its_share_of_rows_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "LEAST_ROWS", 100)
    config = job(LOGISTIC, {"max_iter": 500})
    data = dataset.load(config, Task.CLASSIFICATION)
    every = list(crossval.dealt(config, data, 5, 100, 2))
    assert len(every) == 5
    for (kept, tested), (full, same) in zip(crossval.dealt(config, data, 5, 34, 1), every, strict=True):
        assert len(kept) == len(full) * 34 // 100
        assert set(kept) < set(full)
        assert np.array_equal(tested, same)
        assert np.mean(data.train.target[kept]) == pytest.approx(np.mean(data.train.target[full]), abs=0.01)
    assert all(len(kept) == 100 for kept, _ in crossval.dealt(config, data, 5, 12, 0))


def test_few_rows_are_dealt_anew_on_each_rung() -> None:
    config = job(LOGISTIC, {"max_iter": 500})
    data = dataset.load(config, Task.CLASSIFICATION)
    found = list(crossval.dealt(config, data, 5, 34, 1))
    assert len(found) == 10
    assert len({tuple(tested) for _, tested in found}) == 10
    assert sorted(np.concatenate([tested for _, tested in found[5:]])) == list(range(len(data.train)))


def part(target: np.ndarray[Any, Any], **roles: Any) -> dataset.Part:
    values = Values(Features(()), np.zeros((len(target), 0)), np.zeros((len(target), 0), dtype=object))
    return dataset.Part(values, target, Roles(**{"time": None, "group": None, "weight": None, **roles}))


def test_folds_of_groups_keep_them_together() -> None:
    group = np.random.default_rng(0).integers(0, 30, 400)
    tested: list[int] = []
    for kept, measured in folds(part(np.zeros(400), group=group), Task.REGRESSION, JOB, 5):
        assert not set(group[kept]) & set(group[measured])
        assert 60 <= len(measured) <= 100
        tested.extend(measured)
    assert sorted(tested) == list(range(400))
    assert len(list(folds(part(np.zeros(400), group=group % 3), Task.REGRESSION, JOB, 5))) == 3


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_of_times_look_back_only(grouped: bool) -> None:
    random = np.random.default_rng(0)
    time, group = random.integers(0, 100, 300), random.integers(0, 40, 300) if grouped else None
    found = list(folds(part(np.zeros(300), time=time, group=group), Task.REGRESSION, JOB, 4))
    assert len(found) == 4
    for kept, measured in found:
        assert time[kept].max() < time[measured].min()
        assert group is None or not set(group[kept]) & set(group[measured])
        assert grouped or len(kept) + len(measured) == np.sum(time <= time[measured].max())


@pytest.mark.parametrize("role", ["time", "group"])
def test_rows_that_cannot_be_dealt_out_are_refused(role: str) -> None:
    same = np.zeros(10, dtype=np.int64)
    with pytest.raises(StageError, match=f"columns.{role}"):
        list(folds(part(np.zeros(10), **{role: same}), Task.REGRESSION, JOB, 5))


@pytest.mark.parametrize("count", [2, 5, 10])
def test_folds_share_out_rows_and_classes(count: int) -> None:
    target = np.array([0] * 61 + [1] * 30 + [2] * 9)
    order = np.random.default_rng(0).permutation(len(target))
    tested: list[int] = []
    for kept, measured in folds(part(target[order]), Task.CLASSIFICATION, JOB, count):
        assert sorted([*kept, *measured]) == list(range(100))
        tested.extend(measured)
        for label, total in Counter(target.tolist()).items():
            assert abs(np.sum(target[order][measured] == label) - total / count) <= 1
    assert sorted(tested) == list(range(100))


def test_scores_are_those_of_scikit_learn() -> None:
    config = job(LOGISTIC, {"C": 0.3, "max_iter": 500})
    data = dataset.load(config, Task.CLASSIFICATION)
    found = crossval.scores(config, data, "roc_auc", 4)
    rows, target = data.train.values.native(), data.train.target
    expected = []
    for kept, tested in folds(data.train, Task.CLASSIFICATION, config, 4):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=500)).fit(rows[kept], target[kept])
        expected.append(roc_auc_score(target[tested], model.predict_proba(rows[tested])[:, 1]))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_class_that_a_fold_lacks_is_measured_all_the_same() -> None:
    config = job(LOGISTIC, {"max_iter": 500}, uri="sklearn://wine")
    data = dataset.load(config, Task.CLASSIFICATION)
    kept = np.flatnonzero((data.train.target != 2) | (np.cumsum(data.train.target == 2) <= 2))
    few = replace(data, train=data.train.take(kept))
    for metric in ("log_loss", "roc_auc", "balanced_accuracy"):
        assert np.isfinite(crossval.scores(config, few, metric, 5)).all()
