"""A model that is not served, and why: one error for all who look at it, from its bytes to its first answers.

Standard library only.
"""

import re
from typing import ClassVar

from modelwright_server.contract import Cause, Reason

# The runtime's exceptions are of one class each for many things: only its words tell them apart.
_WORDS = (
    (Cause.OUT_OF_MEMORY, re.compile("bad_alloc|Failed to allocate memory|Cannot allocate memory")),
    (
        Cause.UNSUPPORTED_OPERATOR,
        re.compile("No Op registered for|is not a registered function/op|Could not find an implementation|onnx opset"),
    ),
)


class ModelRejectedError(Exception):
    """The model cannot be served; the text says what is wrong with it, the cause of what kind that is."""

    reason: ClassVar = Reason.MODEL_REJECTED

    def __init__(self, cause: Cause, *, problem: str) -> None:
        super().__init__(problem)
        self.cause = cause


def cause_of(error: BaseException, otherwise: Cause) -> Cause:
    """Return what the runtime's exception, or one raised from it, is a sign of.

    >>> cause_of(RuntimeError("std::bad_alloc"), Cause.LOAD_FAILED).value
    'OutOfMemory'
    >>> cause_of(RuntimeError("no such node"), Cause.LOAD_FAILED).value
    'LoadFailed'
    """
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, MemoryError):
            return Cause.OUT_OF_MEMORY
        for cause, words in _WORDS:
            if words.search(str(chain)):
                return cause
        chain = chain.__cause__
    return otherwise
