import pytest

from modelwright_training import estimator, train
from modelwright_training.contract import Preprocessing, Reason, SklearnTrainer, Task
from modelwright_training.errors import StageError
from tests.training.builders import HIST_CLASSIFIER, LOGISTIC, job, make

VOTING = "sklearn.ensemble.VotingClassifier"
BAGGING = "sklearn.ensemble.BaggingClassifier"
PIPELINE = "sklearn.pipeline.Pipeline"
RIDGE = "sklearn.linear_model.Ridge"


def build(path: str, parameters: dict[str, object] | None = None, seed: int = 7) -> object:
    return estimator.build(SklearnTrainer(path, parameters or {}, Preprocessing.AUTO), seed)  # type: ignore[arg-type]


def deep(levels: int) -> dict[str, object]:
    """Return estimators in estimators, so many levels."""
    inner: dict[str, object] = {"estimator": LOGISTIC}
    for _ in range(levels):
        inner = {"estimator": BAGGING, "parameters": {"estimator": inner}}
    return inner


@pytest.mark.parametrize(
    ("path", "parameters", "named"),
    [
        ("os.system", {}, "not a public class of scikit-learn"),
        ("sklearn", {}, "not a public class"),
        ("sklearn.svm.os", {}, "not a public class"),
        ("sklearn.ensemble._forest.RandomForestClassifier", {}, "not a public class"),
        ("sklearn.tests.test_base.MyEstimator", {}, "not a public class"),
        ("sklearn.datasets.load_iris", {}, "not a public class"),
        ("sklearn.linear_model.Ridge\n", {}, "not a public class"),
        ("sklearn.nothing.Ridge", {}, "no module 'sklearn.nothing'"),
        ("sklearn.linear_model.Rigde", {}, "did you mean Ridge"),
        ("sklearn.exceptions.ConvergenceWarning", {}, "not an estimator"),
        ("sklearn.cluster.KMeans", {}, "neither a classifier nor a regressor"),
        ("sklearn.ensemble.IsolationForest", {}, "neither a classifier nor a regressor"),
        ("sklearn.decomposition.PCA", {}, "neither a classifier nor a regressor"),
        ("sklearn.ensemble.StackingClassifier", {}, "wraps another estimator"),
        ("sklearn.ensemble.BaggingClassifier", {"estimator": "x"}, "estimator: takes estimators"),
        (VOTING, {"estimators": LOGISTIC}, "estimators: takes estimators: write {estimator: sklearn."),
        (VOTING, {"estimators": [{"estimator": LOGISTIC}, 3]}, "estimators: takes estimators"),
        (
            VOTING,
            {"estimators": [{"estimator": "os.system"}]},
            "sklearn.parameters.estimators: 'os.system' is not a public",
        ),
        (VOTING, {"estimators": [{"estimator": "sklearn.datasets.load_iris"}]}, "not a public class"),
        (VOTING, {"estimators": [{"estimator": LOGISTIC}] * 2}, "two estimators are called 'logisticregression'"),
        (VOTING, {"estimators": [{"estimator": LOGISTIC, "name": "a__b"}]}, "'a__b' is no name"),
        (VOTING, {"estimators": [{"estimator": LOGISTIC, "name": 3}]}, "3 is no name"),
        (VOTING, {"estimators": [{"estimator": LOGISTIC}] * 21}, "has 21 estimators, more than 20"),
        (VOTING, {"estimators": [{"estimator": LOGISTIC, "parameters": {"c": 1}}]}, "has no parameter 'c'"),
        (BAGGING, {"estimator": {"estimator": LOGISTIC, "parameters": 3}}, "parameters must be an object"),
        (BAGGING, {"estimator": deep(6)}, "deeper than 4"),
        (PIPELINE, {"steps": [{"estimator": "sklearn.preprocessing.StandardScaler"}]}, "neither a classifier"),
        (HIST_CLASSIFIER, {"max_itr": 3}, "did you mean max_iter"),
        (HIST_CLASSIFIER, {"zzz": 3}, "no parameter 'zzz'"),
    ],
)
def test_refused(path: str, parameters: dict[str, object], named: str) -> None:
    with pytest.raises(StageError) as error:
        build(path, parameters)
    assert error.value.reason is Reason.ESTIMATOR_INVALID
    assert str(error.value).startswith("trainer.sklearn.")
    assert named in str(error.value)


def test_parameters_reach_the_estimator() -> None:
    built = build("sklearn.ensemble.RandomForestClassifier", {"max_depth": "None", "max_features": 0.5})
    assert built.get_params()["max_depth"] is None  # type: ignore[attr-defined]
    assert built.get_params()["max_features"] == 0.5  # type: ignore[attr-defined]


FOREST = "sklearn.ensemble.RandomForestRegressor"


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [(FOREST, "1.0", 1.0), (FOREST, "1", 1), (FOREST, 2, 2), (FOREST, 0.3, 0.3), (HIST_CLASSIFIER, 1, 1.0)],
)
def test_shares_survive_kubernetes(path: str, given: object, expected: float) -> None:
    found = build(path, {"max_features": given}).get_params()["max_features"]  # type: ignore[attr-defined]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("name", ["max_features", "min_samples_split"])
def test_one_that_may_be_a_share_is_refused(name: str) -> None:
    with pytest.raises(StageError, match=f'{name}: 1 may be a number or a share; write the text "1"'):
        build(FOREST, {name: 1})


@pytest.mark.parametrize(("parameters", "state"), [({}, 7), ({"random_state": "None"}, 7), ({"random_state": 3}, 3)])
def test_random_state_is_always_a_number(parameters: dict[str, object], state: int) -> None:
    assert build(LOGISTIC, parameters).get_params()["random_state"] == state  # type: ignore[attr-defined]


@pytest.mark.parametrize("parameters", [{"max_iter": -3}, {"max_iter": "many"}])
def test_wrong_value_is_the_estimators_fault(parameters: dict[str, object]) -> None:
    with pytest.raises(StageError, match=r"trainer.sklearn.parameters: The 'max_iter' parameter") as error:
        make(job(HIST_CLASSIFIER, parameters))
    assert error.value.reason is Reason.ESTIMATOR_INVALID


def test_class_weight_names_classes() -> None:
    assert make(job(LOGISTIC, {"class_weight": {"0": 1, "1": 5}})).fitted[-1].class_weight == {0: 1, 1: 5}
    with pytest.raises(StageError, match="class_weight names '2', but the classes are 0, 1"):
        make(job(LOGISTIC, {"class_weight": {"2": 1}}))


def test_task_follows_the_estimator_and_must_agree() -> None:
    assert train.task_of(job(LOGISTIC)) is Task.CLASSIFICATION
    assert train.task_of(job(RIDGE)) is Task.REGRESSION
    with pytest.raises(StageError, match="is a regressor, but task is Classification"):
        train.task_of(job(RIDGE, task=Task.CLASSIFICATION))


def test_fit_failure_says_what_scikit_learn_says() -> None:
    with pytest.raises(StageError, match=r"CCA cannot be fitted .*n_components") as error:
        make(job("sklearn.cross_decomposition.CCA", uri="sklearn://diabetes"))
    assert error.value.reason is Reason.TRAINING_FAILED


def test_estimators_inside_others_are_made_with_their_own_parameters_and_seed() -> None:
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": {"max_depth": "None"}, "name": "f"}
    scaled = {"steps": [{"estimator": "sklearn.preprocessing.StandardScaler"}, {"estimator": LOGISTIC}]}
    members = [forest, {"estimator": PIPELINE, "parameters": scaled}]
    built = build(VOTING, {"estimators": members, "voting": "soft"})
    found = built.get_params()  # type: ignore[attr-defined]
    assert found["f__max_depth"] is None
    assert found["f__random_state"] == found["pipeline__logisticregression__random_state"] == 7
    assert [name for name, _ in found["estimators"]] == ["f", "pipeline"]


def test_a_class_called_estimator_is_no_estimator() -> None:
    built = build(LOGISTIC, {"class_weight": {"estimator": 2}})
    assert built.get_params()["class_weight"] == {"estimator": 2}  # type: ignore[attr-defined]


def test_class_weights_inside_others_name_classes() -> None:
    inner = {"estimator": LOGISTIC, "parameters": {"class_weight": {"0": 1, "1": 5}}}
    model = make(job(BAGGING, {"estimator": inner}))
    assert model.fitted[-1].estimator.class_weight == {0: 1, 1: 5}


def test_members_get_scales_where_they_want_them() -> None:
    linear, forest = {"estimator": LOGISTIC}, {"estimator": "sklearn.ensemble.RandomForestClassifier"}
    mixed = make(job(VOTING, {"estimators": [linear, forest]}))
    assert [name for name, _ in mixed.fitted.steps] == ["fill", "estimator"]
    assert [type(member).__name__ for member in mixed.fitted[-1].estimators_] == ["Pipeline", "RandomForestClassifier"]
    alike = make(job(BAGGING, {"estimator": linear}))
    assert [name for name, _ in alike.fitted.steps] == ["fill", "scale", "estimator"]
