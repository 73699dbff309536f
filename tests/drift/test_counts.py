import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelwright_drift import baseline, counts, summary
from modelwright_server.contract import prediction
from modelwright_server.ring import layout
from modelwright_server.ring.writer import cut

RNG = np.random.default_rng(2)
MATRIX = RNG.normal(size=(70_000, 3)).astype(np.float32)
FEATURES = [summary.numeric(f"x{index}", "FP32", MATRIX[:2000, index]) for index in range(3)]


def test_counts_of_parts_add_up_to_those_of_the_whole_in_any_order() -> None:
    whole = counts.count_matrix(FEATURES, MATRIX)
    parts = [counts.count_matrix(FEATURES, part) for part in np.array_split(MATRIX, 7)]
    random.Random(3).shuffle(parts)
    assert json.dumps([c.tolist() for c in counts.merge(parts)]) == json.dumps([c.tolist() for c in whole])
    assert [int(c[:-3].sum()) for c in whole] == [70_000] * 3
    assert counts.merge([]) == []


def test_counts_of_other_baselines_do_not_merge() -> None:
    other = [*FEATURES[:2], summary.numeric("x2", "FP32", np.zeros(100, dtype=np.float32))]
    with pytest.raises(ValueError, match="13 and 4 bins are not of one baseline"):
        counts.merge([counts.count_matrix(FEATURES, MATRIX[:10]), counts.count_matrix(other, MATRIX[:10])])
    with pytest.raises(ValueError, match="shorter"):
        counts.merge([counts.count_matrix(FEATURES, MATRIX[:10]), counts.count_matrix(FEATURES[:2], MATRIX[:10, :2])])


def test_categories_are_counted_by_name() -> None:
    texts = ["a"] * 50 + ["b"] * 20 + [f"rare {index}" for index in range(9)] + ["nine"] * 9
    feature = summary.categorical("plan", "BYTES", texts)
    assert (feature.categories, feature.counts, feature.other) == (("a", "b"), (50, 20), 18)
    assert feature.unlisted == 18
    assert counts.count_categories(feature, ["a", "b", "b", "new", "rare 1"]).tolist() == [1, 2, 2, 2]


def test_only_the_most_frequent_categories_have_bins_and_rare_ones_no_name() -> None:
    texts = [f"c{index:03}" for index in range(300) for _ in range(400 - index)] + ["hermit"] * 9
    feature = summary.categorical("city", "BYTES", texts)
    assert len(feature.categories) == baseline.CATEGORIES
    assert len(feature.known) == baseline.KNOWN
    assert "hermit" not in repr(feature)
    beyond = sum(400 - index for index in range(250, 300))
    assert feature.unlisted == beyond + 9
    live = counts.count_categories(feature, ["c000", "c100", "c299", "hermit", "new"])
    assert live[-2:].tolist() == [4, 3]


def test_whole_numbers_as_categories() -> None:
    feature = summary.categorical("code", "INT64", ["7"] * 30 + ["-2"] * 20)
    assert counts.count_whole_numbers(feature, np.array([7, 7, -2, 5])).tolist() == [2, 1, 1, 1]
    for live in ([7, 7, 5], [7, 7, 5000], [7, 7, 2**63 - 1]):
        assert counts.count_whole_numbers(feature, np.array(live)).tolist() == [2, 0, 1, 1]
    assert counts.count_whole_numbers(feature, np.array([7, 200, 200], dtype=np.uint8)).tolist() == [1, 0, 2, 2]
    assert counts.count_whole_numbers(feature, np.array([], dtype=np.int64)).tolist() == [0, 0, 0, 0]


def test_texts_are_cut_where_the_ring_cuts_them() -> None:
    assert baseline.TEXT_BYTES == layout.MAX_TEXT == prediction.MAX_TEXT
    for text in ("x" * 65, "ü" * 40, "€" * 30, "a" * 63 + "ü", "short"):
        assert counts.cut(text).encode() == cut(text.encode()) == prediction.label_text(text).encode()
    feature = summary.categorical("t", "BYTES", ["ü" * 40] * 20)
    assert counts.count_categories(feature, ["ü" * 32, "ü" * 99]).tolist() == [2, 0, 0]


def test_the_package_needs_numpy_only(tmp_path: Path) -> None:
    modules = "baseline, binning, counts, divergence, document, summary, tails, verdict"
    heavy = ("scipy", "sklearn", "pandas", "onnxruntime", "pyarrow")
    code = f"from modelwright_drift import {modules}; import sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
