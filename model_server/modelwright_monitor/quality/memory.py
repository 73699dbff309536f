"""Which predictions have their label already, so that a label sent twice counts once.

Two tables of 64-bit hashes, in place and of fixed size: when the newer one is half full, the older one is forgotten
and an empty one takes its place.  So at least the last `REMEMBERED` predictions are known, in 4 MiB.  Among a million,
two have the same hash with a probability of 3e-8.
"""

from array import array

REMEMBERED = 1 << 17
_SLOTS = 2 * REMEMBERED
_BITS = (1 << 64) - 1


class Memory:
    """Remembers texts, the last ones at least."""

    def __init__(self, slots: int = _SLOTS) -> None:
        self._mask = slots - 1
        self._tables = [_empty(slots), _empty(slots)]
        self._used = 0

    def add(self, text: str) -> bool:
        """Remember a text; tell whether it is new."""
        number = (hash(text) & _BITS) or 1  # 0 is an empty slot; hashes of texts differ from process to process
        newer, older = self._tables
        at = self._find(newer, number)
        if newer[at] == number or older[self._find(older, number)] == number:
            return False
        newer[at] = number
        self._used += 1
        if 2 * self._used >= len(newer):
            self._tables = [_empty(len(newer)), newer]
            self._used = 0
        return True

    def _find(self, table: "array[int]", number: int) -> int:
        """Return the slot that holds a number, or the free one it would go to."""
        at = number & self._mask
        while table[at] and table[at] != number:
            at = (at + 1) & self._mask
        return at


def _empty(slots: int) -> "array[int]":
    return array("Q", bytes(8 * slots))
