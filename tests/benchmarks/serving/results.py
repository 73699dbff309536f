"""From measurements to ratios, tables and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import Report, Table
from tests.benchmarks.serving.comparison import CONNECTIONS
from tests.benchmarks.serving.environments import interpreter
from tests.benchmarks.serving.goals import GOALS, Found, goals_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.serving.comparison import Comparison
    from tests.benchmarks.serving.load import Step

_ONE = "linear/json/b1"
# Which step is divided by which, for the goals that are the ratio of two.
_RATIOS = {
    "rest_json_b1_c32_vs_fastapi": (f"modelwright/{_ONE}/c32", f"fastapi/{_ONE}/c32"),
    "rest_json_b1_c32_vs_kserve": (f"modelwright/{_ONE}/c32", f"kserve/{_ONE}/c32"),
    "grpc_b1_vs_grpcio_echo": ("modelwright/linear/grpc/b1/c32", "grpcio-echo/linear/grpc/b1/c32"),
}
_TO_NGINX = {
    "rest_json_b1_c32_vs_nginx": f"modelwright/{_ONE}/c32",
    "rest_json_b1_c32_varying_head_vs_nginx": f"modelwright/{_ONE}/c32/varying",
}
# The step's calls are compared with so many rows in one call in the process.
_TO_PROCESS = {
    "binary_b64_vs_inprocess": ("modelwright/linear/binary/b64/c8", "inprocess_linear_b64_microseconds"),
    "dense_c32_vs_inprocess_unbatched": ("modelwright/dense/json/b1/c32", "inprocess_dense_b1_microseconds"),
}


def report(name: str, comparison: Comparison) -> Report:
    """Return everything as a report."""
    found = ratios(comparison)
    figures: dict[str, Any] = {
        "servers_python": interpreter()[1],
        "steps": {key: asdict(step) for key, step in comparison.steps.items()},
        "nginx": {key: asdict(step) for key, step in comparison.floors.items()},
        "by_cpu": {key: item.by_cpu for key, item in found.items() if item.by_cpu is not None},
        "disturbed": [key for key, step in comparison.steps.items() if step.disturbed],
        "problems": comparison.problems,
    }
    tables = (*_model_tables(comparison), *_other_tables(comparison, found), goals_table(found))
    return Report(name, figures, tables, {key: item.value for key, item in found.items()})


def ratios(comparison: Comparison) -> dict[str, Found]:
    """Return the goals' figures and the single ones, as far as what they need was measured."""
    steps, floors, figures = comparison.steps, comparison.floors, comparison.figures
    found: dict[str, Found] = {}
    pairs = {key: (steps.get(over), steps.get(under)) for key, (over, under) in _RATIOS.items()}
    pairs |= {key: (steps.get(over), floors.get("modelwright/linear/c32")) for key, over in _TO_NGINX.items()}
    for key, (over, under) in pairs.items():
        if over is not None and under is not None:
            found[key] = Found(over.rate / under.rate, under.cpu / over.cpu, over.disturbed or under.disturbed)
    for key, (name, alone) in _TO_PROCESS.items():
        step, each = steps.get(name), figures.get(alone)
        if step is not None and each is not None:
            found[key] = Found(step.rate * each / 1e6, each / step.cpu, step.disturbed)
    found |= _latencies(steps, floors)
    return found | {key: Found(value) for key, value in figures.items()}


def _latencies(steps: Mapping[str, Step], floors: Mapping[str, Step]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    alone, floor = steps.get(f"modelwright/{_ONE}/c1"), floors.get("modelwright/linear/c1")
    if alone is not None and floor is not None:
        found["rest_json_b1_c1_p50_above_nginx_microseconds"] = Found(
            alone.p50 - floor.p50, None, alone.disturbed or floor.disturbed
        )
    ours, theirs = steps.get(f"modelwright/{_ONE}/c32"), steps.get(f"fastapi/{_ONE}/c32")
    if ours is not None and theirs is not None:
        found["rest_json_b1_c32_p99_vs_fastapi"] = Found(
            ours.p99 / theirs.p99, None, ours.disturbed or theirs.disturbed
        )
    return found


def _model_tables(comparison: Comparison) -> list[Table]:
    """Return a table for each model: requests a second, p50 and p99 by server, form, rows and connections."""
    models = dict.fromkeys(name.split("/")[1] for name in comparison.steps)
    return [_model_table(comparison, name) for name in models]


def _model_table(comparison: Comparison, model: str) -> Table:
    lines: dict[str, dict[str, Step]] = {}
    for name, step in comparison.floors.items():
        server, served, count = name.split("/")
        if served == model:
            lines.setdefault(f"nginx around {server}, fixed answer", {})[count] = step
    for name, step in comparison.steps.items():
        server, served, form, rows, count, *more = name.split("/")
        if served == model:
            size = "1 row" if rows == "b1" else f"{rows.removeprefix('b')} rows"
            line = ", ".join([server, form, size, *["heads differ"] * bool(more)])
            lines.setdefault(line, {})[count] = step
    counts = [count for count in CONNECTIONS if any(f"c{count}" in steps for steps in lines.values())]
    found: list[tuple[str, ...]] = []
    for line, steps in lines.items():
        cells = [steps.get(f"c{count}") for count in counts]
        shown = ["" if step is None else f"{step.rate:,.0f} ({step.p50:,.0f}/{step.p99:,.0f})" for step in cells]
        at_32 = steps.get("c32")
        most = max(step.foreign for step in steps.values())
        found.append((line, *shown, "" if at_32 is None else f"{at_32.cpu:.2f}", f"{most:.2f}"))
    columns = ("", *(f"{count} conn.: req/s (p50/p99 µs)" for count in counts), "CPU µs at 32", "others, cores")
    return Table(f"{model}: requests on one core", columns, tuple(found))


def _other_tables(comparison: Comparison, found: Mapping[str, Found]) -> list[Table]:
    goals = {goal.key for goal in GOALS}
    rows = [(key, f"{item.value:.4g}") for key, item in found.items() if key not in goals]
    rows += [(server, problem) for server, problem in comparison.problems.items()]
    return [Table("Others", ("", ""), tuple(rows))] if rows else []
