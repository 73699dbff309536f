import json
from typing import Any

import numpy as np
import pytest

from modelwright_drift import document, summary
from modelwright_drift.baseline import Baseline, BaselineError

RNG = np.random.default_rng(4)
TIMES = np.cumsum(RNG.normal(size=1000)).astype(np.float32)
BASELINE = Baseline(
    (
        summary.numeric("age", "FP32", TIMES, ordered=True),
        summary.categorical("plan", "BYTES", ["a ü\u2028"] * 500 + ["b"] * 490 + list("cdefghijkl")),
    ),
    (summary.categorical("label", "INT64", ["0"] * 60 + ["1"] * 40), summary.numeric("1", "FP32", TIMES[:100])),
)
GOOD: dict[str, Any] = json.loads(document.dump(BASELINE))


def test_what_is_written_is_read() -> None:
    data = document.dump(BASELINE)
    assert document.load(data) == BASELINE
    assert document.dump(document.load(data)) == data
    assert GOOD["schemaVersion"] == 1
    assert (GOOD["rows"], GOOD["holdoutRows"]) == (1000, 100)
    assert GOOD["features"][0]["vifSource"] == "time"
    assert GOOD["features"][1]["vifSource"] == "none"


def changed(*path: Any, to: Any = None, drop: bool = False) -> bytes:
    document_ = json.loads(json.dumps(GOOD))
    place = document_
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return json.dumps(document_).encode()


AGE, PLAN = ("features", 0), ("features", 1)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "is not JSON"),
        (b"[]", "the document must be an object"),
        (b"[" * 100_000, "is not JSON: RecursionError"),
        (b'{"rows": NaN}', "NaN is not a JSON number"),
        (b'{"rows": 1, "rows": 1}', "appears twice"),
        (b"\xff\xfe", "is not JSON"),
        (b" " * (document.MAX_BYTES + 1), "the limit is"),
        (b'{"rows": ' + b"9" * 5000 + b"}", "is not JSON"),
        (changed("schemaVersion", to=2), "schemaVersion must be 1"),
        (changed("schemaVersion", to=True), "schemaVersion must be a whole number"),
        (changed("more", to=1), "'more' is unknown"),
        (changed("rows", drop=True), "'rows' is missing"),
        (changed("rows", to=999), "rows and holdoutRows must be those"),
        (changed("features", to=[]), "features must be 1 to"),
        (changed("features", to={}), "features must be a list"),
        (changed("features", to=GOOD["features"][:1] * 1001), "features must be 1 to 1000"),
        (changed("features", to=GOOD["features"][:1] * 2), "features must have distinct names"),
        (
            changed("prediction", to=[GOOD["prediction"][0], GOOD["features"][0]]),
            "prediction must all have as many rows",
        ),
        (changed(*AGE, "type", to="Text"), "features[0].type must be Numeric or Categorical"),
        (changed(*AGE, "type", to="Categorical"), "features[0]: the field"),
        (changed(*AGE, "name", to="a\nb"), "features[0]: name must be 1 to 256 printable"),
        (changed(*AGE, "name", to="\ud800"), "features[0].name must be a text"),
        (changed(*AGE, "edges", 0, to=1e9), "features[0]: edges must rise"),
        (changed(*AGE, "edges", 0, to=True), "features[0].edges[0] must be a finite number"),
        (changed(*AGE, "edges", 0, to=10**400), "features[0].edges[0] must be a finite number"),
        (changed(*AGE, "edges", to=[]), "features[0]: counts must be one more than edges"),
        (changed(*AGE, "max", to=GOOD["features"][0]["edges"][-1]), "edges must lie from min to below max"),
        (changed(*AGE, "min", to=0.5 + GOOD["features"][0]["edges"][0]), "edges must lie from min"),
        (changed(*AGE, "counts", 0, to=-1), "counts must be numbers of rows"),
        (changed(*AGE, "counts", 0, to=2**60), "counts must be numbers of rows"),
        (changed(*AGE, "counts", 0, to=1.0), "features[0].counts[0] must be a whole number"),
        (changed(*AGE, "missing", to=5), "features must all have as many rows"),
        (changed(*AGE, "deviation", to=-1), "deviation must not be negative"),
        (changed(*AGE, "vif", to=0.5), "vif must be between 1"),
        (changed(*AGE, "vifChunks", to=0), "vif must be 1 without chunks"),
        (changed(*AGE, "vifSource", to="none"), "features[0].vifSource must be time"),
        (changed(*PLAN, "categories", 0, "rows", to=9), "must have 10 rows or more"),
        (changed(*PLAN, "categories", 0, "value", to="b"), "categories must be distinct"),
        (changed(*PLAN, "categories", 0, "value", to="x" * 65), "64 bytes at most"),
        (changed(*PLAN, "categories", 0, to="a"), "categories[0] must be an object"),
        (changed(*PLAN, "known", to=[str(index) for index in range(201)]), "known must be 200 at most"),
        (changed(*PLAN, "known", to=[1]), "known[0].item must be a text"),
        (changed(*PLAN, "unlisted", to=1001), "unlisted must not be more"),
    ],
)
def test_what_does_not_fit_together_is_refused(data: bytes, named: str) -> None:
    with pytest.raises(BaselineError) as error:
        document.load(data)
    assert str(error.value).startswith("baseline.json: ")
    assert named in str(error.value)
    assert len(str(error.value)) < 600


def test_a_baseline_too_large_for_its_file_gives_up_names_without_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"c{index:03}" for index in range(200) for _ in range(400 - index)]
    city = summary.categorical("city", "BYTES", texts)
    assert city.known
    large = Baseline((city,), BASELINE.prediction)
    monkeypatch.setattr(document, "MAX_BYTES", len(document.dump(large)) - 1)
    (read,) = document.load(document.dump(large)).features
    assert (read.known, read.unlisted) == ((), city.other)  # type: ignore[union-attr]
