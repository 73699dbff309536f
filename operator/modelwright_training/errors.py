"""How a stage gives up.

StageError      a reason from the contract and a text for people: the field or thing, and the next step
└── TrialError  a trial's own parameters are at fault; others may do
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


class TrialError(StageError):
    """One trial of a search has no score."""

    @property
    def exit_code(self) -> ExitCode:
        """The search goes on without it."""
        return ExitCode.TRIAL_FAILED
