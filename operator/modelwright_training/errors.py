"""How a stage gives up.

StageError      a reason from the contract and a text for people: the field or thing, and the next step
"""

from modelwright_training.contract import ExitCode, Reason


class StageError(Exception):
    """A failure that has an explanation; anything else that escapes a stage is a crash."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def exit_code(self) -> ExitCode:
        """A storage can come back; everything else fails again, however often it is tried."""
        return ExitCode.RETRYABLE if self.reason is Reason.STORAGE_UNAVAILABLE else ExitCode.PERMANENT
