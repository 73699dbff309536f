"""Public keys that models may be signed with: elliptic curves P-256, P-384 and P-521, as PEM.

A key's id is what the OpenSSF model signing format calls its hint: the sha256 of the key's PEM text as OpenSSL writes
it.  The operator, which carries no cryptography, and who verifies agree on it by this module.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

MAX_KEYS = 16

_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]{80,400})-----END PUBLIC KEY-----")
_LINE = 64
# How SubjectPublicKeyInfo of an uncompressed point begins on each curve, and its whole length (RFC 5480).
_CURVES = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"): 91,
    bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"): 120,
    bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"): 158,
}


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key: its id, and its PEM text as OpenSSL writes it."""

    id: str
    pem: str


def parse_keys(text: str) -> tuple[TrustedKey, ...]:
    """Return the keys in a text of PEM blocks, each once.

    Raises:
        ValueError: says what is no key that could be trusted.
    """
    rest = _BLOCK.sub("", text).strip()
    if rest:
        message = f"must hold PEM blocks of public keys and nothing else, not {rest[:60]!r}"
        raise ValueError(message)
    keys = {key.id: key for key in (_key(block) for block in _BLOCK.findall(text))}
    if len(keys) > MAX_KEYS:
        message = f"holds {len(keys)} keys, the limit is {MAX_KEYS}"
        raise ValueError(message)
    return tuple(keys.values())


def pem_of(der: bytes) -> str:
    """Return the PEM text of a SubjectPublicKeyInfo, as OpenSSL writes it."""
    body = base64.b64encode(der).decode()
    lines = [body[at : at + _LINE] for at in range(0, len(body), _LINE)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def key_id(pem: str) -> str:
    """Return the id of a key by its PEM text."""
    return hashlib.sha256(pem.encode()).hexdigest()


def _key(block: str) -> TrustedKey:
    try:
        der = base64.b64decode("".join(block.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"holds a PEM block that is not base64 ({error})"
        raise ValueError(message) from error
    if not any(der.startswith(begins) and len(der) == length for begins, length in _CURVES.items()):
        message = "holds a key that is not of the curves P-256, P-384 or P-521 (openssl ecparam -name prime256v1)"
        raise ValueError(message)
    pem = pem_of(der)
    return TrustedKey(key_id(pem), pem)
