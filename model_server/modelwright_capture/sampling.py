"""Which predictions are kept: a hash of nonce and number, which are in the prediction's id, decides.

So the same rows are chosen after a restart, and by anybody who has the ids.  The hash is the finalizer of SplitMix64
(Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
"""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

NUMBER_BITS = np.uint64((1 << 63) - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHARES = 1 << 32


def chosen(nonce: str, marks: Numbers, percent: int) -> npt.NDArray[np.bool_]:
    """Tell which of the predictions with these marks are kept; the nonce is that of their ids, 12 hex digits."""
    if percent >= 100:  # noqa: PLR2004 - all
        return np.ones(len(marks), np.bool_)
    seed = np.uint64(int(nonce, 16))
    with np.errstate(over="ignore"):  # modulo 2**64, as it is meant
        mixed = ((marks & NUMBER_BITS) + np.uint64(1)) * _GOLDEN ^ seed
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32) < np.uint64(_SHARES * percent // 100)
