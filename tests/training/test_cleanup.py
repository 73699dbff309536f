"""The clean-up Job's program: exactly one artifact goes, or nothing."""

from pathlib import Path

import pytest

from modelwright_server import artifact
from modelwright_training import cleanup, contract


class Claim:
    """A mounted claim with one artifact, and something beside it."""

    def __init__(self, folder: Path) -> None:
        self.stores = folder / "stores"
        self.model = self.stores / "models" / "churn"
        made = folder / "made"
        made.mkdir()
        (made / artifact.MODEL).write_bytes(b"onnx")
        (made / artifact.SCHEMA).write_bytes(b"{}")
        self.digest = artifact.write(made).digest
        self.hex = self.digest.removeprefix("sha256:")
        self.target = self.model / self.hex
        self.model.mkdir(parents=True)
        made.rename(self.target)
        self.neighbour = self.model / ("0" * 64)
        self.neighbour.mkdir()
        (self.neighbour / "model.onnx").write_bytes(b"other")
        self.uri = f"pvc://models/churn/{self.hex}/"

    def run(self, uri: str = "", digest: str = "") -> int:
        return cleanup.main(
            {
                contract.ENV_CLEANUP_URI: uri or self.uri,
                contract.ENV_CLEANUP_DIGEST: digest or self.digest,
                contract.ENV_STORES_DIR: str(self.stores),
            }
        )

    @property
    def left(self) -> list[str]:
        return sorted(entry.name for entry in self.model.iterdir())


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    return Claim(tmp_path)


def test_the_artifact_goes_and_nothing_else(claim: Claim) -> None:
    (claim.target / artifact.REPORT).write_bytes(b"{}")
    assert claim.run() == 0
    assert claim.left == [claim.neighbour.name]
    assert (claim.neighbour / "model.onnx").read_bytes() == b"other"


def test_twice_is_once(claim: Claim) -> None:
    assert (claim.run(), claim.run()) == (0, 0)
    assert claim.left == [claim.neighbour.name]


def test_what_a_run_that_was_killed_left_is_taken_up(claim: Claim) -> None:
    aside = claim.target.with_name(f".removing-{claim.hex[:16]}")
    claim.target.rename(aside)
    (aside / artifact.MANIFEST).unlink()
    assert claim.run() == 0
    assert claim.left == [claim.neighbour.name]


def test_an_artifact_published_again_goes_with_what_was_left(claim: Claim) -> None:
    aside = claim.target.with_name(f".removing-{claim.hex[:16]}")
    aside.mkdir()
    (aside / "old").write_bytes(b"x")
    assert claim.run() == 0
    assert claim.left == [claim.neighbour.name]


@pytest.mark.parametrize(
    "uri",
    [
        "pvc://models/churn/",
        "pvc://models/",
        "pvc://models/churn/" + "0" * 64,
        "pvc://models/../models/churn/{hex}",
        "s3://models/churn/{hex}/",
        "https://models.test/churn/{hex}",
        "no address",
    ],
)
def test_an_address_that_is_not_of_this_digest_on_a_claim_is_refused(claim: Claim, uri: str) -> None:
    before = claim.left
    assert claim.run(uri.format(hex=claim.hex)) == contract.ExitCode.PERMANENT
    assert claim.left == before
    assert claim.target.exists()


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:..", "..", "md5:0"])
def test_a_digest_that_is_not_the_folders_is_refused(claim: Claim, digest: str) -> None:
    assert claim.run(digest=digest) == contract.ExitCode.PERMANENT
    assert claim.target.exists()


@pytest.mark.parametrize("damage", ["other manifest", "no manifest"])
def test_a_folder_that_holds_something_else_is_left_alone(claim: Claim, damage: str) -> None:
    manifest = claim.target / artifact.MANIFEST
    if damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_bytes(b"{}")
    assert claim.run() == contract.ExitCode.PERMANENT
    assert (claim.target / artifact.MODEL).exists()


@pytest.mark.parametrize("level", ["artifact", "model"])
def test_nothing_is_removed_through_a_link(claim: Claim, level: str) -> None:
    link = claim.target if level == "artifact" else claim.model
    elsewhere = claim.stores / "models" / "elsewhere"
    if level == "artifact":
        elsewhere.mkdir()
        elsewhere /= claim.hex
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    assert claim.run() == contract.ExitCode.PERMANENT
    assert (claim.target / artifact.MODEL).exists()


def test_a_claim_that_is_not_there_is_tried_again(claim: Claim) -> None:
    assert claim.run(f"pvc://other/churn/{claim.hex}/") == contract.ExitCode.RETRYABLE
