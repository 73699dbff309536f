"""From measurements to ratios, tables and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import Report, Table
from tests.benchmarks.serving.goals import Found, goals_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.serving.comparison import Comparison
    from tests.benchmarks.serving.load import Step

OURS = "modelwright/linear/json/b1"


def report(name: str, comparison: Comparison) -> Report:
    """Return everything as a report."""
    found = ratios(comparison)
    figures: dict[str, Any] = {
        "steps": {key: asdict(step) for key, step in comparison.steps.items()},
        "nginx": {key: asdict(step) for key, step in comparison.floors.items()},
        "by_cpu": {key: item.by_cpu for key, item in found.items() if item.by_cpu is not None},
        "other": comparison.figures,
    }
    tables = (
        _steps_table(
            "Servers", {**{f"nginx, around {key}": step for key, step in comparison.floors.items()}, **comparison.steps}
        ),
        goals_table(found),
    )
    return Report(name, figures, tables, {key: item.value for key, item in found.items()})


def ratios(comparison: Comparison) -> dict[str, Found]:
    """Return the figures of the goals, as far as what they need was measured."""
    steps, floors = comparison.steps, comparison.floors
    found: dict[str, Found] = {}

    def ratio(key: str, over: Step | None, under: Step | None) -> None:
        if over is not None and under is not None:
            found[key] = Found(over.rate / under.rate, under.cpu / over.cpu)

    fixed = floors.get("modelwright/c32")
    ratio("rest_json_b1_c32_vs_nginx", steps.get(f"{OURS}/c32"), fixed)
    ratio("rest_json_b1_c32_varying_head_vs_nginx", steps.get(f"{OURS}/c32/varying"), fixed)
    alone, floor = steps.get(f"{OURS}/c1"), floors.get("modelwright/c1")
    if alone is not None and floor is not None:
        above = alone.p50 - floor.p50
        found["rest_json_b1_c1_p50_above_nginx_microseconds"] = Found(above, alone.cpu - floor.cpu)
    found |= {key: Found(value) for key, value in comparison.figures.items()}
    return found


def _steps_table(title: str, steps: Mapping[str, Step]) -> Table:
    rows = tuple(
        (
            name,
            f"{step.rate:,.0f}",
            f"{step.p50:,.0f}",
            f"{step.p99:,.0f}",
            f"{step.cpu:.2f}",
            f"{100 * step.busy:.0f}",
            f"{step.foreign:.2f}" + " !" * step.disturbed,
        )
        for name, step in steps.items()
    )
    return Table(title, ("", "requests/s", "p50 µs", "p99 µs", "CPU µs each", "core %", "others, cores"), rows)
