"""Whose signature a version must bear, and whether the one that was verified is still enough."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelwright_server.contract.signing import parse_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator import api
    from modelwright_operator.settings import Settings


@dataclass(frozen=True)
class Trust:
    """What the settings say of signatures.

    Attributes:
        keys: ids of the keys that are trusted; none: signatures are not looked at.
        required: whether one of them must have signed.
    """

    keys: frozenset[str] = frozenset()
    required: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Trust:
        """Return what these settings say."""
        return cls(frozenset(key.id for key in parse_keys(settings.trusted_keys)), settings.signature_required)

    def attempt(self, base: str) -> str:
        """Return the name of an attempt to verify under this trust: another trust makes it another attempt.

        >>> Trust().attempt("1"), Trust(frozenset("a")).attempt("1") == Trust(frozenset("b")).attempt("1")
        ('1', False)
        """
        if not self.keys:
            return base
        asked = ",".join([*sorted(self.keys), *(["required"] if self.required else [])])
        return f"{base}.{hashlib.sha256(asked.encode()).hexdigest()[:8]}"

    def found(self, said: Mapping[str, Any]) -> str | None:
        """Return the key that a verification reports, if it is one of ours."""
        key = said.get("keyId")
        return str(key) if key in self.keys else None

    def satisfied(self, verification: api.Verification | None) -> bool:
        """Tell whether what was verified before is enough now."""
        return not self.required or (verification is not None and verification.key_id in self.keys)
