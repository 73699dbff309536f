"""Signatures of artifacts, with the reference implementation as the judge, both ways."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_signing.hashing
import model_signing.signing
import model_signing.verifying
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server import artifact, signature
from modelwright_server.artifact import ArtifactError
from modelwright_server.contract.signing import TrustedKey, parse_keys
from modelwright_server.signature import SignatureInvalidError
from tests.server.test_artifact import fill

PEM = serialization.Encoding.PEM
CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


class Pair:
    """A pair of keys, as OpenSSL writes it."""

    def __init__(self, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> None:
        key = ec.generate_private_key(curve())
        self.private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.public = public.decode()
        [self.trusted] = parse_keys(self.public)

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Write both keys; return their paths."""
        private, public = folder / "key", folder / "key.pub"
        private.write_bytes(self.private)
        public.write_text(self.public)
        return private, public


OURS, OTHER = Pair(), Pair()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "artifact")
    return tmp_path / "artifact"


def signed(folder: Path, pair: Pair = OURS) -> bytes:
    data, identity = signature.sign(artifact.build(folder), pair.private)
    assert identity == pair.trusted.id
    (folder / artifact.SIGNATURE).write_bytes(data)
    return data


def check(folder: Path, *keys: TrustedKey, required: bool = True) -> str | None:
    digest = artifact.build(folder).digest
    manifest, data = artifact.read_signed(folder, digest)
    return signature.verify(data, manifest, keys, required=required)


def reference_verifies(folder: Path, pair: Pair, at: Path) -> None:
    """Have the reference implementation check the folder, as its command does by default."""
    _, public = pair.files(at)
    verifying: Any = model_signing.verifying.Config
    config = verifying().use_elliptic_key_verifier(public_key=public)
    config.verify(folder, folder / artifact.SIGNATURE)


def reference_signs(folder: Path, pair: Pair, at: Path, **hashing: Any) -> None:
    """Have the reference implementation sign the folder, as `model_signing sign key` does."""
    private, _ = pair.files(at)
    hashed: Any = model_signing.hashing.Config
    how = hashed().set_ignored_paths(paths=[folder / artifact.SIGNATURE])
    if hashing:
        how = how.use_shard_serialization(**hashing)
    signing: Any = model_signing.signing.Config
    config = signing().use_elliptic_key_signer(private_key=private).set_hashing_config(how)
    config.sign(folder, folder / artifact.SIGNATURE)


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_the_reference_verifies_what_we_sign(folder: Path, tmp_path: Path, curve: type[ec.EllipticCurve]) -> None:
    pair = Pair(curve)
    signed(folder, pair)
    reference_verifies(folder, pair, tmp_path)
    assert check(folder, OTHER.trusted, pair.trusted) == pair.trusted.id
    (folder / "extra").write_bytes(b"x")
    with pytest.raises(ValueError, match="Extra files found"):
        reference_verifies(folder, pair, tmp_path)


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_we_verify_what_the_reference_signs(folder: Path, tmp_path: Path, curve: type[ec.EllipticCurve]) -> None:
    pair = Pair(curve)
    reference_signs(folder, pair, tmp_path)
    assert check(folder, OTHER.trusted, pair.trusted) == pair.trusted.id


def test_signing_twice_is_signing_once(folder: Path) -> None:
    assert signed(folder) == signed(folder)


def test_what_was_measured_is_not_signed(folder: Path, tmp_path: Path) -> None:
    signed(folder)
    (folder / artifact.REPORT).write_text("{}")
    reference_verifies(folder, OURS, tmp_path)
    assert check(folder, OURS.trusted) == OURS.trusted.id


def rewrite_bundle(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / artifact.SIGNATURE
        bundle = json.loads(path.read_bytes())
        change(bundle)
        path.write_text(json.dumps(bundle))

    return changed


def rewrite_statement(
    change: Callable[[dict[str, Any]], object], resigned_by: Pair | None = None
) -> Callable[[Path], None]:
    """Change what was signed; who has the key signs it again."""

    def changed(bundle: dict[str, Any]) -> None:
        envelope = bundle["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        payload = json.dumps(statement).encode()
        envelope["payload"] = base64.b64encode(payload).decode()
        if resigned_by is not None:
            key = serialization.load_pem_private_key(resigned_by.private, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            kind = b"application/vnd.in-toto+json"
            pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
            made = key.sign(pae, ec.ECDSA(signature._algorithm(key.public_key())))
            envelope["signatures"] = [{"sig": base64.b64encode(made).decode(), "keyid": ""}]

    return rewrite_bundle(changed)


def resources(statement: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = statement["predicate"]["resources"]
    return found


def _other_model(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"evil")
    artifact.write(folder)


def _unlisted(folder: Path) -> None:
    (folder / "schema2.json").write_bytes(b"{}")
    artifact.write(folder)


def _fewer(folder: Path) -> None:
    (folder / "card.json").unlink()
    artifact.write(folder)


def _by(pair: Pair) -> Callable[[Path], None]:
    return lambda folder: void(signed(folder, pair))


def void(_: object) -> None:
    """Return nothing."""


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "another model": (_other_model, "differs in manifest.json"),
    "one file more": (_unlisted, "differs in manifest.json"),
    "one file less": (_fewer, "card.json"),
    "another key": (_by(OTHER), "made with a key that is not trusted"),
    "another key that says it is ours": (
        lambda folder: void(
            (
                signed(folder, OTHER),
                rewrite_bundle(lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=OURS.trusted.id))(
                    folder
                ),
            )
        ),
        "not what a trusted key signed",
    ),
    "changed statement": (
        rewrite_statement(lambda statement: resources(statement)[0].update(digest="0" * 64)),
        "not what a trusted key signed",
    ),
    "a file left out": (rewrite_statement(lambda statement: resources(statement).pop(), OURS), "do not add up"),
    "another root": (
        rewrite_statement(lambda statement: statement["subject"][0].update(digest={"sha256": "0" * 64}), OURS),
        "do not add up",
    ),
    "another predicate": (
        rewrite_statement(lambda statement: statement.update(predicateType="https://slsa.dev/provenance/v1"), OURS),
        "whole files by sha256",
    ),
    "no statement": (rewrite_statement(lambda statement: statement.clear(), OURS), "none of a model"),
    "another bundle": (rewrite_bundle(lambda bundle: bundle.update(mediaType="other")), "of another format"),
    "another payload": (
        rewrite_bundle(lambda bundle: bundle["dsseEnvelope"].update(payloadType="text/plain")),
        "of another format",
    ),
    "two signatures": (
        rewrite_bundle(lambda bundle: bundle["dsseEnvelope"]["signatures"].append({"sig": "", "keyid": ""})),
        "not a bundle signed by one key",
    ),
    "a certificate": (
        rewrite_bundle(lambda bundle: bundle.update(verificationMaterial={"certificate": {"rawBytes": ""}})),
        "not a bundle signed by one key",
    ),
    "no JSON": (lambda folder: void((folder / artifact.SIGNATURE).write_bytes(b"{")), "no JSON where"),
    "deep JSON": (lambda folder: void((folder / artifact.SIGNATURE).write_bytes(b"[" * 60_000)), "no JSON where"),
    "a list": (lambda folder: void((folder / artifact.SIGNATURE).write_bytes(b"[]")), "no JSON object"),
    "nothing": (lambda folder: (folder / artifact.SIGNATURE).unlink(), "is missing"),
    "too much": (
        lambda folder: void((folder / artifact.SIGNATURE).write_bytes(b" " * (artifact.MAX_SIGNATURE_BYTES + 1))),
        "the limit is",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_refused(folder: Path, name: str) -> None:
    change, says = TAMPERED[name]
    signed(folder)
    assert check(folder, OURS.trusted) == OURS.trusted.id
    change(folder)
    with pytest.raises(ArtifactError, match=says):
        check(folder, OURS.trusted)


def test_where_none_is_required_an_unknown_key_counts_as_none_but_a_wrong_signature_is_refused(folder: Path) -> None:
    assert check(folder, OURS.trusted, required=False) is None
    signed(folder, OTHER)
    assert check(folder, OURS.trusted, required=False) is None
    signed(folder)
    assert check(folder, OURS.trusted, required=False) == OURS.trusted.id
    _other_model(folder)
    with pytest.raises(SignatureInvalidError, match="of another model"):
        check(folder, OURS.trusted, required=False)


def test_a_signature_in_parts_of_files_is_refused(folder: Path, tmp_path: Path) -> None:
    reference_signs(folder, OURS, tmp_path, hashing_algorithm="sha256", shard_size=2)
    with pytest.raises(SignatureInvalidError, match="whole files by sha256"):
        check(folder, OURS.trusted)


def test_a_signature_without_a_hint_is_tried_with_all_keys(folder: Path) -> None:
    signed(folder)
    rewrite_bundle(lambda bundle: bundle["verificationMaterial"]["publicKey"].pop("hint"))(folder)
    assert check(folder, OTHER.trusted, OURS.trusted) == OURS.trusted.id


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_whatever_bytes_are_there_nothing_but_the_one_error_comes(noise: bytes, at: int) -> None:
    manifest = artifact.Manifest(
        (artifact.Entry("model.onnx", 1, "0" * 64), artifact.Entry("schema.json", 1, "1" * 64))
    )
    good, _ = signature.sign(manifest, OURS.private)
    bent = good[:at] + noise + good[at + len(noise) :]
    if bent != good:
        try:
            found = signature.verify(bent, manifest, [OURS.trusted], required=True)
        except SignatureInvalidError:
            return
        assert found == OURS.trusted.id, "a change outside what was signed"


def test_only_keys_that_can_sign_are_taken(folder: Path) -> None:
    manifest = artifact.build(folder)
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = serialization.load_pem_private_key(OURS.private, None)
    locked = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    curve = ec.generate_private_key(ec.SECP256K1())
    koblitz = curve.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for private in (edwards, locked, koblitz, b"", b"-----BEGIN PRIVATE KEY-----", OURS.public.encode()):
        with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
            signature.sign(manifest, private)


def test_public_keys_are_read_strictly_and_each_counts_once() -> None:
    spread = OURS.public.replace("\n", "\r\n  ")
    assert [key.id for key in parse_keys(OURS.public + spread + OTHER.public)] == [OURS.trusted.id, OTHER.trusted.id]
    assert parse_keys("") == ()
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    koblitz = ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(PEM, info).decode()
    for text, says in (
        ("hello", "PEM blocks"),
        (OURS.private.decode(), "PEM blocks"),
        (edwards.public_bytes(PEM, info).decode(), "PEM blocks"),  # too short to be one of ours
        (koblitz, "not of the curves"),
        (OURS.public.replace("MF", "M=", 1), "base64|curves"),
        ("".join(Pair().public for _ in range(17)), "the limit is 16"),
    ):
        with pytest.raises(ValueError, match=says):
            parse_keys(text)
