"""Deployments and sidecars' answers as the API server gives them, for tests of the command."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
DIGEST = "sha256:" + "9f" * 32


def condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-22T12:00:00Z",
    }


def figures(name: str, psi: float, *, flagged: bool = False, **more: Any) -> Object:
    return {
        "name": name,
        "psi": psi,
        "psiDebiased": psi,
        "psiLower": psi / 2 if flagged else 0,
        "pValue": 1e-9 if flagged else 0.4,
        "flagged": flagged,
        **more,
    }


def track(sequence: int = 11, **more: Any) -> Object:
    return {
        "window": {
            "sequence": sequence,
            "rows": 1600,
            "startedAt": "2026-11-22T12:00:00Z",
            "closedAt": "2026-11-22T12:01:00Z",
            "closedBy": "churn-0123456789-7c9d8f6b54-aaaaa",
            "missing": [],
        },
        "version": "churn-9f2c41ab07",
        "digest": DIGEST,
        "revision": "0123456789",
        "coverage": {"replicas": 2, "reported": 2},
        "lost": 16,
        "total": {"windows": 11, "rows": 17600, "lost": 16},
        "features": [figures("age", 0.777, flagged=True), figures("plan", 0.004)],
        "prediction": [{key: figures("label", 0.01)[key] for key in ("name", "psi", "pValue", "flagged")}],
        "recent": [
            {"sequence": number, "drift": number > 9, "prediction": False, "quality": False, "names": ["age"]}
            for number in (9, 10, 11)
        ],
        **more,
    }


def deployment(**monitoring: Any) -> Object:
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": "churn", "namespace": "team", "generation": 1},
        "spec": {"model": {"version": "churn-9f2c41ab07"}, "monitoring": {"drift": {"toleratedPSI": 0.02}}},
        "status": {
            "conditions": [
                condition("MonitoringHealthy", "True", "WindowsClose", "window 11, 1600 rows of 2 replicas"),
                condition("DataDriftDetected", "True", "DriftDetected", "2 of the last 3 windows: age (PSI 0.777)"),
                condition("PredictionDriftDetected", "False", "NoDrift", "nothing differs"),
                condition("DataQualityDegraded", "False", "DataAsExpected", "values are as in the baseline"),
                condition("Retraining", "False", "RetrainingIdle", "nothing calls for a run"),
            ],
            "monitoring": track(**monitoring),
            "retraining": {"episode": 2, "pending": ["DataDrift"], "nextAllowedAt": "2026-11-23T12:00:00Z"},
            "history": [
                {"at": "2026-11-22T12:00:00Z", "event": "Promoted", "version": "churn-9f2c41ab07", "message": "at last"}
            ],
        },
    }


def number_column(name: str = "age", **more: Any) -> Object:
    return {
        "name": name,
        "datatype": "FP32",
        "type": "Numeric",
        "edges": [20.5, 40, 60],
        "min": 1,
        "max": 99,
        "baseline": [100, 100, 100, 100],
        "missing": 4,
        "open": [5, 5, 5, 5, 0, 0, 0],
        "closed": [100, 200, 500, 780, 20, 3, 9],
        "figures": figures(name, 0.777, flagged=True),
        **more,
    }


def category_column(name: str = "plan", categories: list[str] | None = None, **more: Any) -> Object:
    names = ["basic", "gold"] if categories is None else categories
    return {
        "name": name,
        "datatype": "BYTES",
        "type": "Categorical",
        "categories": names,
        "baseline": [*(100 for _ in names), 20],
        "unlisted": 2,
        "open": [*(7 for _ in names), 1, 1],
        "closed": [*(700 for _ in names), 200, 40],
        "figures": figures(name, 0.004, quality=[{"share": "unseen", "live": 0.025, "expected": 0.01}]),
        **more,
    }


def line(sequence: int, **more: Any) -> Object:
    return {
        "track": "stable",
        "sequence": sequence,
        "openedAt": "",
        "closedAt": "2026-11-22T12:01:00Z",
        "rows": 1600,
        "lost": 0,
        "replicas": 2,
        "reported": 2,
        "judged": True,
        "name": "age",
        "psi": 0.07 * sequence,
        "predictionPsi": 0.01,
        "drift": sequence > 9,
        "prediction": False,
        "quality": False,
        **more,
    }


def counts(**more: Any) -> Object:
    return {
        "format": 1,
        "pod": "churn-0123456789-7c9d8f6b54-aaaaa",
        "track": "stable",
        "digest": DIGEST,
        "problem": "",
        "window": line(11),
        "lines": [line(number) for number in range(1, 12)],
        "open": {"rows": 20, "lost": 0},
        "features": [number_column(), category_column()],
        "leftOut": 3,
        "prediction": [category_column("label", ["0", "1"], figures=figures("label", 0.01))],
        **more,
    }
