"""Where git has no earlier release, the checkout stands in for it, and its upgrade still replaces the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tests.chart.conftest import CHART, NAMESPACE, Helm, of_kind
from tests.support import previous

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_without_history_the_chart_is_the_checkouts_under_another_version(
    helm: Helm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(previous, "_last_other_commit", str)
    made = previous.previous_release(tmp_path / "before")
    assert (made.commit, made.images) == ("", {})
    rendered = {}
    for chart in (made.chart, CHART):
        done = helm("template", "release", str(chart), "--namespace", NAMESPACE, "--kube-version", "1.35.0")
        assert done.returncode == 0, done.stderr
        [operator] = of_kind([item for item in yaml.safe_load_all(done.stdout) if item], "Deployment")
        rendered[chart] = operator["spec"]
    before, now = rendered[made.chart], rendered[CHART]
    assert before["selector"] == now["selector"], "which cannot change"
    assert before["template"]["metadata"] != now["template"]["metadata"], "so that the pod is replaced"
    assert before["template"]["spec"] == now["template"]["spec"]
