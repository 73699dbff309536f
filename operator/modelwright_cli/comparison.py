"""`compare`: two versions beside each other, metrics with their intervals, and what they were made of; pure."""

from __future__ import annotations

from typing import Any

from modelwright_cli.objects import Json, name_of, number, part, parts, text
from modelwright_cli.printing import clean, table


def compared(versions: tuple[Json, Json], jobs: tuple[Json | None, Json | None]) -> Json:
    """Return how two versions differ; a job that is gone is None."""
    measured = [
        {(text(item, "name"), text(item, "dataset")): item for item in parts(version, "spec", "metrics")}
        for version in versions
    ]
    keys = list(dict.fromkeys([*measured[0], *measured[1]]))
    return {
        "versions": [name_of(version) for version in versions],
        "metrics": [_metric(key, measured[0].get(key), measured[1].get(key)) for key in keys],
        "madeOf": [
            {"what": what, "values": [first, second], "same": first == second}
            for what, first, second in _pairs(*map(_made_of, versions, jobs))
        ],
    }


def comparison(found: Json) -> str:
    """Return it as tables."""
    first, second = map(str, found["versions"])
    metrics = table(
        ("metric", "dataset", first, second, "difference", "intervals"),
        (
            (
                item["name"],
                item["dataset"],
                *map(_value, item["values"]),
                _signed(item["difference"]),
                item["intervals"],
            )
            for item in found["metrics"]
        ),
    )
    made = table(
        ("made of", first, second, ""),
        (
            (item["what"], *(clean(v) for v in item["values"]), "" if item["same"] else "differs")
            for item in found["madeOf"]
        ),
    )
    return f"{metrics}\n\n{made}"


def _metric(key: tuple[str, str], first: Json | None, second: Json | None) -> Json:
    values = [number(item, "value") for item in (first, second)]
    known = [value for value in values if value is not None]
    return {
        "name": key[0],
        "dataset": key[1],
        "values": [{field: number(item, field) for field in ("value", "low", "high")} for item in (first, second)],
        "difference": known[1] - known[0] if len(known) == len(values) else None,
        "intervals": _intervals(first, second),
    }


def _intervals(first: Json | None, second: Json | None) -> str:
    """Tell whether two intervals lie apart; overlapping ones do not show that the values are equal."""
    limits = [number(item, key) for item in (first, second) for key in ("low", "high")]
    known = [limit for limit in limits if limit is not None]
    if len(known) != len(limits):
        return ""
    low, high, other_low, other_high = known
    return "apart" if high < other_low or other_high < low else "overlap"


def _value(item: Json) -> str:
    value, low, high = (number(item, key) for key in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.4g}" if low is None or high is None else f"{value:.4g} ({low:.4g} to {high:.4g})"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4g}"


def _made_of(version: Json, job: Json | None) -> dict[str, str]:
    provenance = part(version, "spec", "provenance")
    found = {"artifact": text(version, "spec", "artifact", "digest")}
    for kind in ("data", "prepared"):
        found |= {f"{kind} {text(item, 'name')}": text(item, "digest") for item in parts(provenance, kind)}
        found |= {f"rows of {kind} {text(item, 'name')}": text(item, "rows") for item in parts(provenance, kind)}
    for key, label in (("imageDigest", "image"), ("parametersDigest", "parameters"), ("seed", "seed")):
        found[label] = text(provenance, key)
    found["source"] = text(provenance, "source", "commit")
    trainer = part(job, "spec", "trainer", "sklearn")
    if trainer:
        found["estimator"] = text(trainer, "estimator")
        found |= {f"parameter {key}": str(value) for key, value in _sorted(part(trainer, "parameters"))}
    return {key: value for key, value in found.items() if value}


def _sorted(values: Json) -> list[tuple[str, Any]]:
    return sorted(values.items())


def _pairs(first: dict[str, str], second: dict[str, str]) -> list[tuple[str, str, str]]:
    return [(key, first.get(key, "-"), second.get(key, "-")) for key in dict.fromkeys([*first, *second])]
