"""Quantities come out as the API server stores them."""

from __future__ import annotations

import pytest

from modelwright_operator.render.quantities import canonical


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        (2, "2"),
        ("2", "2"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("0", "0"),
        ("0m", "0"),
        ("0Mi", "0"),
        ("0.0001", "1m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1Ki", "1Ki"),
        ("1048576Ki", "1Gi"),
        ("500M", "500M"),
        ("1000M", "1G"),
        ("0.5Ki", "512"),
        ("00512Mi", "512Mi"),
    ],
)
def test_canonical(given: str | int, stored: str) -> None:
    assert canonical(given) == stored


@pytest.mark.parametrize("given", ["", "x", "1 Gi", "-1", "1e3", "1Gb", "1.", "1mi", "1\n"])
def test_what_is_no_quantity_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        canonical(given)
