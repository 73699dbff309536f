"""Points of the Sobol sequence, which fill a space more evenly than random ones; in pure Python, for both sides.

Direction numbers: S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections", SIAM
J. Sci. Comput. 30 (2008), file new-joe-kuo-6. The points are randomised by a digital shift (J. Matoušek, "On the
L2-discrepancy for anchored boxes", 1998), which keeps the sequence's evenness.
"""

from functools import cache
from typing import Final

BITS: Final = 30
MAX_DIMENSIONS: Final = 20
# For each dimension: the primitive polynomial, with all its coefficients as bits, and the first direction numbers.
_DIRECTIONS: Final = (
    (1, (1,)),
    (3, (1,)),
    (7, (1, 3)),
    (11, (1, 3, 1)),
    (13, (1, 1, 1)),
    (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)),
    (37, (1, 1, 5, 5, 17)),
    (41, (1, 1, 5, 5, 5)),
    (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)),
    (59, (1, 1, 1, 3, 11)),
    (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)),
    (91, (1, 1, 1, 15, 21, 21)),
    (97, (1, 3, 1, 13, 27, 49)),
    (103, (1, 1, 1, 15, 7, 5)),
    (109, (1, 3, 1, 15, 13, 25)),
    (115, (1, 1, 5, 5, 19, 61)),
    (131, (1, 3, 7, 11, 23, 15, 103)),
)


def coordinate(index: int, dimension: int, shift: int = 0) -> float:
    """Return one coordinate, in [0, 1), of one point; `shift` is a number of `BITS` bits."""
    gray, directions = index ^ (index >> 1), _numbers(dimension)
    value = shift
    for bit in range(BITS):
        if gray >> bit & 1:
            value ^= directions[bit]
    return value / (1 << BITS)


@cache
def _numbers(dimension: int) -> list[int]:
    """Return the direction numbers of a dimension, as integers of `BITS` bits."""
    polynomial, first = _DIRECTIONS[dimension]
    if dimension == 0:
        return [1 << (BITS - 1 - bit) for bit in range(BITS)]
    degree = polynomial.bit_length() - 1
    odd = list(first)
    for bit in range(degree, BITS):
        value = odd[bit - degree] ^ odd[bit - degree] << degree
        for term in range(1, degree):
            if polynomial >> (degree - term) & 1:
                value ^= odd[bit - term] << term
        odd.append(value)
    return [number << (BITS - 1 - bit) for bit, number in enumerate(odd)]
