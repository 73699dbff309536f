"""Which track a request goes to.  Pure but for its random numbers.

The canary's share is exact: of each block of 100 requests as many go there as the weight says, in an order that chance
makes anew for each block (permuted blocks), so that a client with a period of its own sees no pattern.  A sticky
header's value is hashed instead: the same on all pods, and whoever is on the canary stays there as the weight grows.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from hashlib import blake2b
from secrets import SystemRandom

from modelwright_server.contract import FORWARDED_HEADER
from modelwright_server.contract.traffic import Canary, Table

BLOCK = 100
GUARD = FORWARDED_HEADER.lower().encode()
_shuffle: Callable[[list[bool]], None] = SystemRandom().shuffle


class Choice(Enum):
    """What is done with a request."""

    STABLE = auto()  # answered here, by chance or for its sticky value
    CANARY = auto()  # forwarded, likewise
    MATCHED = auto()  # forwarded for its header, and no part of any verdict
    APART = auto()  # answered here and not counted: it was forwarded once already


class Blocks:
    """A share of requests, exact in each block of 100."""

    def __init__(self, percent: int, shuffle: Callable[[list[bool]], None] = _shuffle) -> None:
        self._percent = percent
        self._shuffle = shuffle
        self._block: list[bool] = []

    def take(self) -> bool:
        """Return whether the next request is one of them."""
        block = self._block
        if not block:
            block += [True] * self._percent + [False] * (BLOCK - self._percent)
            self._shuffle(block)
        return block.pop()


class Chooser:
    """Chooses by one traffic table.

    Attributes:
        watched: names of the headers, in lower case, that `choose` wants to see.
    """

    def __init__(self, table: Table, canary: Canary) -> None:
        self._blocks = Blocks(table.weight)
        self._weight = table.weight
        self._salt = canary.revision.encode()
        match = table.match
        self._match = None if match is None else (match.header.lower().encode(), match.value.encode())
        self._sticky = None if table.sticky_header is None else table.sticky_header.lower().encode()
        names = {GUARD, self._sticky, self._match[0] if self._match is not None else None}
        self.watched = frozenset(name for name in names if name is not None)

    def choose(self, headers: Mapping[bytes, bytes]) -> Choice:
        """Choose for a request with these headers; the next one may get another answer."""
        if headers:
            if GUARD in headers:
                return Choice.APART
            if self._match is not None and headers.get(self._match[0]) == self._match[1]:
                return Choice.MATCHED
            if self._sticky is not None and (value := headers.get(self._sticky)) is not None:
                return Choice.CANARY if position(value, self._salt) < self._weight else Choice.STABLE
        return Choice.CANARY if self._blocks.take() else Choice.STABLE


def position(value: bytes, salt: bytes) -> float:
    """Return where a sticky value stands in [0, 100); it goes to the canary while that is below the weight.

    The salt is the canary's revision, so that it is not the same users that try every new version.
    """
    return int.from_bytes(blake2b(value, digest_size=8, key=salt).digest(), "big") * 100 / 2**64
