"""Signatures of artifacts in the OpenSSF model signing format, made and checked by a pair of keys, offline.

``model.sig`` beside the artifact's files is a Sigstore bundle (media type v0.3) around a DSSE envelope
(https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md) around an in-toto statement with the predicate
``https://model_signing/signature/v1.0``, as `model_signing` of PyPI writes and reads it with ``key``
(https://github.com/sigstore/model-transparency, tag v1.1.1: ``_signing/signing.py``, ``_signing/sign_ec_key.py``).
That library and what it needs would be a fifth of the serving image; ``cryptography`` is all the format takes.

What is signed is every listed file and manifest.json, so that the artifact's digest is signed with it.  What was
measured (report.json) belongs to no digest and is left out.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from modelwright_server import artifact
from modelwright_server.artifact import Manifest
from modelwright_server.contract import Reason
from modelwright_server.contract.signing import TrustedKey, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_HASH = "sha256"
_FILE = artifact.SIGNATURE
_NOT_SIGNED = (artifact.REPORT, artifact.SIGNATURE)
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


class SignatureInvalidError(artifact.ArtifactError):
    """The artifact is not signed as it must be."""

    reason = Reason.SIGNATURE_INVALID


def sign(manifest: Manifest, private_key: bytes) -> tuple[bytes, str]:
    """Return the signature of an artifact, the same for the same key, and the key's id.

    Args:
        manifest: of the artifact.
        private_key: PEM, not encrypted.

    Raises:
        ValueError: it is no private key on one of the curves.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - for those who sign
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    try:
        key = serialization.load_pem_private_key(private_key, None)
    except (TypeError, ValueError, UnsupportedAlgorithm):  # their words might quote the key
        message = "is no PEM text of a private key, or is encrypted"
        raise ValueError(message) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        message = "is not a private key of the curves P-256, P-384 or P-521"
        raise ValueError(message)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    identity = key_id(public.decode())
    payload = json.dumps(_statement(manifest), indent=2).encode()
    hashed = ec.ECDSA(_algorithm(key.public_key()), deterministic_signing=True)
    envelope = {
        "payload": _text(payload),
        "payloadType": _PAYLOAD,
        "signatures": [{"sig": _text(key.sign(_encoded(payload), hashed)), "keyid": ""}],
    }
    material: dict[str, Any] = {"publicKey": {"hint": identity}, "tlogEntries": []}
    bundle = {"mediaType": _BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(bundle).encode(), identity


def verify(data: bytes | None, manifest: Manifest, keys: Sequence[TrustedKey], *, required: bool) -> str | None:
    """Return the id of the trusted key that signed the artifact; None: none did, and none has to.

    Args:
        data: the signature; None where there is none.
        manifest: of the artifact, already found to be the one asked for.
        keys: those that are trusted.
        required: whether an artifact that none of them signed is refused.

    Raises:
        SignatureInvalidError: it is required and there is none by a trusted key, or what says to be by a trusted key
            is not, or not of this artifact.
    """
    if data is None:
        if required:
            raise SignatureInvalidError(_FILE, "is missing beside the manifest, and only signed models are let in")
        return None
    bundle = _document(data, "the bundle")
    hint, payload, signature = _opened(bundle)
    known = [key for key in keys if hint in {None, key.id}]
    if not known:
        if required:
            raise SignatureInvalidError(_FILE, f"was made with a key that is not trusted: {str(hint)[:64]}")
        return None
    by = next((key for key in known if _signed(key, payload, signature)), None)
    if by is None:
        raise SignatureInvalidError(_FILE, "is not what a trusted key signed: it was changed, or made with another key")
    _check_statement(_document(payload, "the statement"), manifest)
    return by.id


def _statement(manifest: Manifest) -> dict[str, Any]:
    resources = [
        {"name": name, "algorithm": _HASH, "digest": digest} for name, digest in sorted(_files(manifest).items())
    ]
    serialization = {
        "method": "files",
        "hash_type": _HASH,
        "allow_symlinks": False,
        "ignore_paths": list(_NOT_SIGNED),
    }
    name = manifest.digest.removeprefix("sha256:")
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {_HASH: _root(resources)}}],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }


def _files(manifest: Manifest) -> dict[str, str]:
    """Return the sha256 of every file that a signature covers."""
    return {item.path: item.sha256 for item in manifest.files} | {
        artifact.MANIFEST: manifest.digest.removeprefix("sha256:")
    }


def _root(resources: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest over all files' digests, in the order they are listed."""
    return hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources)).hexdigest()


def _check_statement(statement: Mapping[str, Any], manifest: Manifest) -> None:
    """Check that what was signed is this artifact.

    Raises:
        SignatureInvalidError: says in which file they differ.
    """
    try:
        kinds = (statement["_type"], statement["predicateType"], statement["predicate"]["serialization"]["method"])
        [subject] = statement["subject"]
        resources = list(statement["predicate"]["resources"])
        signed = {item["name"]: item["digest"] for item in resources if item["algorithm"] == _HASH}
        root, found = subject["digest"][_HASH], _root(resources)
    except (KeyError, TypeError, ValueError) as error:
        raise SignatureInvalidError(
            _FILE, f"holds a statement that is none of a model ({type(error).__name__} {error})"
        ) from error
    if kinds != (_STATEMENT, _PREDICATE, "files") or len(signed) != len(resources):
        raise SignatureInvalidError(
            _FILE, "must be of whole files by sha256 (model_signing sign key), and list each once"
        )
    if root != found:
        raise SignatureInvalidError(_FILE, "lists files whose digests do not add up to the one it is of")
    signed.pop(artifact.REPORT, None)
    wanted = _files(manifest)
    for name in sorted(wanted.keys() | signed.keys()):
        if signed.get(name) != wanted.get(name):
            how = (
                "lacks"
                if name not in signed
                else "has, and the artifact has not,"
                if name not in wanted
                else "differs in"
            )
            raise SignatureInvalidError(_FILE, f"is of another model: it {how} {name[:100]}")


def _opened(bundle: Mapping[str, Any]) -> tuple[str | None, bytes, bytes]:
    """Return a bundle's hint at its key, what was signed, and the signature."""
    try:
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        kinds = (bundle["mediaType"], envelope["payloadType"])
        [signature] = envelope["signatures"]
        hint = material["publicKey"].get("hint") or None
        opened = hint, base64.b64decode(envelope["payload"]), base64.b64decode(signature["sig"])
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise SignatureInvalidError(
            _FILE, f"is not a bundle signed by one key ({type(error).__name__} {error})"
        ) from error
    if kinds != (_BUNDLE, _PAYLOAD):
        raise SignatureInvalidError(_FILE, f"is of another format: {str(kinds)[:200]}")
    return opened


def _signed(key: TrustedKey, payload: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - for those who verify
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    try:
        public = cast("ec.EllipticCurvePublicKey", serialization.load_pem_public_key(key.pem.encode()))
        public.verify(signature, _encoded(payload), ec.ECDSA(_algorithm(public)))
    except (InvalidSignature, ValueError):  # the latter: of no point on the curve
        return False
    return True


def _algorithm(key: "ec.EllipticCurvePublicKey") -> Any:  # noqa: ANN401 - a hash of the library, imported late
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    return {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]


def _encoded(payload: bytes) -> bytes:
    """Return what is signed of a payload: DSSE's pre-authentication encoding."""
    return b" ".join([b"DSSEv1", str(len(_PAYLOAD)).encode(), _PAYLOAD.encode(), str(len(payload)).encode(), payload])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _document(data: bytes, what: str) -> dict[str, Any]:
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SignatureInvalidError(_FILE, f"holds no JSON where {what} should be ({type(error).__name__})") from error
    if not isinstance(document, dict):
        raise SignatureInvalidError(_FILE, f"holds no JSON object where {what} should be")
    return cast("dict[str, Any]", document)
