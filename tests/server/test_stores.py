"""Addresses ``pvc://claim/path`` and the local paths they have."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server import stores
from modelwright_server.stores import PvcAddress, StoreAddressError, StoreUnavailableError


@pytest.mark.parametrize(
    ("uri", "claim", "path"),
    [
        ("pvc://models/churn/9f", "models", "churn/9f"),
        ("pvc://models/churn/9f/", "models", "churn/9f"),
        ("pvc://models", "models", ""),
        ("pvc://models/", "models", ""),
        ("pvc://a.b-c/x y/%2e%2e/é", "a.b-c", "x y/%2e%2e/é"),
        ("pvc://models/..a/b..", "models", "..a/b.."),
    ],
)
def test_addresses(uri: str, claim: str, path: str) -> None:
    address = stores.parse(uri)
    assert address == PvcAddress(claim, path)
    assert stores.parse(str(address)) == address


@pytest.mark.parametrize(
    "uri",
    [
        "", "models/churn", "ftp://models/churn", "PVC://models/churn", "pvc:/models/churn", "pvc://", "pvc:///churn",
        "pvc://Models/churn", "pvc://mo_dels/churn", "pvc://-a/churn", "pvc://a-/churn", "pvc://../churn",
        "pvc://./churn", "pvc://a..b/churn", f"pvc://{'a' * 254}/churn", "pvc://user@models/churn",
        "pvc://models:80/churn", "pvc://models/../other", "pvc://models/a/../../other", "pvc://models/a/./b",
        "pvc://models/..", "pvc://models//churn", "pvc://models/churn//", "pvc://models/a\\..\\b", "pvc://models/a\nb",
        "pvc://models/a\x00b", "pvc://models/" + "a" * 256, "pvc://models/" + "a/" * 600,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_named(uri: str) -> None:
    with pytest.raises(StoreAddressError) as caught:
        stores.parse(uri)
    assert repr(uri[:40])[1:-1] in str(caught.value)


def test_children() -> None:
    assert str(stores.parse("pvc://models").child("churn", "9f")) == "pvc://models/churn/9f"
    assert str(stores.parse("pvc://models/a").child("b")) == "pvc://models/a/b"
    with pytest.raises(StoreAddressError):
        stores.parse("pvc://models/a").child("..")


def test_local_paths(tmp_path: Path) -> None:
    (tmp_path / "models" / "churn").mkdir(parents=True)
    assert stores.resolve(stores.parse("pvc://models/churn/9f"), tmp_path) == tmp_path / "models" / "churn" / "9f"
    assert stores.resolve(stores.parse("pvc://models"), tmp_path) == tmp_path / "models"


def test_a_claim_that_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="'pvc://models/churn': the claim 'models' is not mounted at"):
        stores.resolve(stores.parse("pvc://models/churn"), tmp_path)


def test_links_may_not_leave_the_claim(tmp_path: Path) -> None:
    claim = tmp_path / "models"
    (claim / "real").mkdir(parents=True)
    (tmp_path / "models-2").mkdir()
    (tmp_path / "other").mkdir()
    (claim / "inside").symlink_to("real")
    (claim / "up").symlink_to("..")
    (claim / "neighbour").symlink_to("../models-2")
    (claim / "absolute").symlink_to("/etc")
    (claim / "dangling").symlink_to("../nothing/there")
    (claim / "loop").symlink_to("loop")
    assert stores.resolve(stores.parse("pvc://models/inside/x"), tmp_path) == claim / "real" / "x"
    for path in ("up/other", "neighbour", "absolute/passwd", "dangling", "real/../up"):
        with pytest.raises(StoreAddressError):
            stores.resolve(stores.parse(f"pvc://models/{path}"), tmp_path)
    with suppress(StoreAddressError):  # Python 3.13 follows a loop no further instead of raising
        assert stores.resolve(stores.parse("pvc://models/loop/x"), tmp_path).is_relative_to(claim)


@given(st.text(max_size=60))
def test_nothing_resolves_outside_its_claim(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp() / "stores-property"
    (root / "models").mkdir(parents=True, exist_ok=True)
    try:
        address = stores.parse("pvc://models/" + path)
    except StoreAddressError:
        return
    assert stores.resolve(address, root).is_relative_to(root / "models")
