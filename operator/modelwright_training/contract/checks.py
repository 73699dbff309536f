"""What a digest and a count must be."""

import re

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def check_digest(digest: str | None) -> None:
    """Raise ValueError unless the digest is None or `sha256:` and 64 hexadecimal digits."""
    if digest is not None and not _DIGEST.fullmatch(digest):
        message = "digest must be sha256: and 64 hexadecimal digits"
        raise ValueError(message)


def check_counts(*counts: int) -> None:
    """Raise ValueError for a negative count."""
    if min(counts) < 0:
        message = "a count must not be negative"
        raise ValueError(message)
