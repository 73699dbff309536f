"""Quantities in the form in which the API server stores them.

An amount sent as `1000m` comes back as `1`; sent in another form than stored, a child would look changed forever.
The canonical form (https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity): no fraction, the largest
suffix that leaves a whole number, binary stays binary and decimal stays decimal.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM: Final = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<suffix>m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}
_BINARY_SUFFIXES: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = {"m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4}
_DECIMAL_SUFFIXES: Final = ("m", "", "k", "M", "G", "T", "P", "E")
_THOUSAND: Final = 1000
_KIBI: Final = 1024


def canonical(quantity: int | str) -> str:
    """Return the quantity as the API server stores it.

    Raises:
        ValueError: the text is no quantity.

    >>> [canonical(text) for text in ("1000m", "0.5", "1024Mi", "1.5Gi", "500M", "1000000", 2, "0", "0.5Ki")]
    ['1', '500m', '1Gi', '1536Mi', '500M', '1M', '2', '0', '512']
    """
    number, suffix = _parsed(quantity)
    if suffix in _BINARY:
        amount = int((number * _KIBI ** _BINARY[suffix]).to_integral_value(ROUND_CEILING))
        return _largest(amount, _KIBI, _BINARY_SUFFIXES)
    milli = int((number * Decimal(_THOUSAND) ** (_DECIMAL[suffix] + 1)).to_integral_value(ROUND_CEILING))
    return _largest(milli, _THOUSAND, _DECIMAL_SUFFIXES)


def cores(quantity: str) -> int:
    """Return an amount of CPU in whole cores, rounded up, at least one.

    Raises:
        ValueError: the text is no quantity.

    >>> [cores(text) for text in ("100m", "1", "1500m", "8", "1k", "1Ki")]
    [1, 1, 2, 8, 1000, 1024]
    """
    number, suffix = _parsed(quantity)
    scale = Decimal(_KIBI) ** _BINARY[suffix] if suffix in _BINARY else Decimal(_THOUSAND) ** _DECIMAL[suffix]
    return max(int((number * scale).to_integral_value(ROUND_CEILING)), 1)


def canonical_resources(resources: Mapping[str, Mapping[str, int | str]]) -> dict[str, dict[str, str]]:
    """Return requests and limits with every amount as the API server stores it.

    >>> canonical_resources({"limits": {"cpu": "1000m"}})
    {'limits': {'cpu': '1'}}
    """
    return {kind: {name: canonical(amount) for name, amount in amounts.items()} for kind, amounts in resources.items()}


def _parsed(quantity: int | str) -> tuple[Decimal, str]:
    match = _FORM.fullmatch(str(quantity))
    if match is None:
        message = f"{quantity!r} is not a quantity such as 500m, 2 or 512Mi"
        raise ValueError(message)
    return Decimal(match["number"]), match["suffix"] or ""


def _largest(amount: int, step: int, suffixes: tuple[str, ...]) -> str:
    if not amount:
        return "0"
    index = 0
    while amount % step == 0 and index + 1 < len(suffixes):
        amount //= step
        index += 1
    return f"{amount}{suffixes[index]}"
