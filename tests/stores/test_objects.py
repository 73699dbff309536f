"""Objects on a real S3 server, and before it a proxy that fails as stores do."""

import hashlib
import io
import random
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_server.stores import (
    Access,
    Found,
    ObjectAddress,
    StoreAddressError,
    StoreError,
    StoreForbiddenError,
    StoreLimitError,
    StoreMissingError,
    StoreUnavailableError,
    objects,
    parse,
)
from modelwright_server.stores.objects import Bucket
from modelwright_server.stores.sink import Sink
from tests.support.object_store import BUCKET, Fault, ObjectStore, faulty

if TYPE_CHECKING:
    from collections.abc import Callable

LAKE = ObjectAddress("s3", BUCKET, "")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as often as in a pod, but sooner."""
    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=5)}
    monkeypatch.setattr(objects, "RETRY", {**objects.RETRY, "backoff": backoff})
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0.001)


def download(bucket: Bucket, found: Found, limit: int = 1 << 30) -> tuple[bytes, str]:
    file = io.BytesIO()
    sink = Sink(file, limit, found.path)
    bucket.download(found, sink)
    assert sink.size == len(file.getvalue())
    return file.getvalue(), sink.sha256


@pytest.mark.parametrize("size", [0, 1, objects.PART_BYTES, 5 * objects.PART_BYTES + 17])
def test_an_object_is_read_whole_and_in_order(store: ObjectStore, access: Access, size: int) -> None:
    data = random.Random(size).randbytes(size)
    store.put("whole.bin", data)
    bucket = Bucket(LAKE, access)
    found = bucket.head("whole.bin")
    assert found.size == size
    assert download(bucket, found) == (data, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("find/*.csv", ["find/a.csv", "find/b.csv"]),
        ("find/?.csv", ["find/a.csv", "find/b.csv"]),
        ("find/*/part-?.csv", ["find/dt=1/part-0.csv", "find/dt=2/part-0.csv"]),
        ("find/dt=*/*", ["find/dt=1/part-0.csv", "find/dt=2/part-0.csv"]),
        ("find/a.c*v", ["find/a.csv"]),
        ("f*d/b.csv", ["find/b.csv"]),
        ("fin/*.csv", []),
        ("find/*.parquet", []),
        ("find/a?csv*x", []),
    ],
)
def test_patterns_match_within_one_segment(store: ObjectStore, access: Access, pattern: str, keys: list[str]) -> None:
    for key in ("a.csv", "b.csv", ".hidden.csv", "dt=1/part-0.csv", "dt=2/part-0.csv", "dt=2/deeper/part-0.csv"):
        store.put(f"find/{key}", b"x")
    assert [found.path for found in Bucket(LAKE, access).find(pattern, 10)] == keys


def test_too_many_matches_are_refused(store: ObjectStore, access: Access) -> None:
    for number in range(3):
        store.put(f"many/{number}.csv", b"x")
    with pytest.raises(StoreLimitError, match="more than 2 objects; narrow the pattern"):
        Bucket(LAKE, access).find("many/*.csv", 2)


@pytest.mark.parametrize(
    ("change", "address", "error", "words"),
    [
        ({}, LAKE, StoreMissingError, "there is no such object"),
        ({}, ObjectAddress("s3", "nowhere", ""), StoreMissingError, "there is no such"),
        (
            {"merged": {"AWS_SECRET_ACCESS_KEY": "hush"}},
            LAKE,
            StoreForbiddenError,
            "'lake'",
        ),
        ({"credentials": {"OTHER": "a"}}, LAKE, StoreForbiddenError, "none of the keys AWS_ACCESS_KEY_ID, "),
        ({"region": "us-east-1"}, LAKE, StoreAddressError, "look at the fields region and endpoint"),
        ({"endpoint": "http://127.0.0.1:1"}, LAKE, StoreUnavailableError, "nothing listens there"),
        ({"endpoint": "http://nowhere.invalid"}, LAKE, StoreUnavailableError, "cannot be found"),
        ({"endpoint": "http://169.254.169.254"}, LAKE, StoreAddressError, "by which a cloud hands out credentials"),
        ({"endpoint": "http://[fe80::1]:9000"}, LAKE, StoreAddressError, "link-local"),
    ],
)
def test_what_goes_wrong_is_told_in_words_of_ours(
    access: Access, change: dict[str, Any], address: ObjectAddress, error: type[StoreError], words: str
) -> None:
    if merged := change.get("merged"):
        change = {"credentials": {**access.credentials, **merged}}
    wrong = replace(access, **change)
    asks: tuple[Callable[[Bucket], object], ...] = (lambda each: each.head("nope"), lambda each: each.read("nope", 10))
    for ask in asks:
        with pytest.raises(error, match=re.escape(words)) as raised:
            ask(Bucket(address, wrong))
        told = f"{raised.value!r} {wrong!r}"
        assert "reqwest" not in told
        assert not any(value in told for value in wrong.credentials.values() if len(value) > 1)


def test_a_wrong_region_is_named(store: ObjectStore, access: Access) -> None:
    store.put("region.csv", b"x")
    found = Bucket(LAKE, access).head("region.csv")
    with pytest.raises(StoreAddressError, match="set the field region"):
        download(Bucket(LAKE, replace(access, region="us-east-1")), found)


def test_a_listing_is_refused_as_a_read_is(access: Access) -> None:
    with pytest.raises(StoreForbiddenError, match="SignatureDoesNotMatch"):
        Bucket(LAKE, replace(access, credentials={**access.credentials, "AWS_SECRET_ACCESS_KEY": "x"})).find("*", 9)
    with pytest.raises(StoreMissingError, match="no such bucket"):
        Bucket(ObjectAddress("s3", "nowhere", ""), access).find("*", 9)


def test_passing_failures_do_no_harm(store: ObjectStore, access: Access) -> None:
    data = random.Random(1).randbytes(3 * objects.PART_BYTES)
    store.put("flaky.bin", data)

    def plan(method: str, _: str, number: int) -> Fault | None:
        if number in {1, 4}:
            return Fault(503)
        return Fault(cut_after=1000) if method == "GET" and number in {3, 5} else None

    with faulty(store.endpoint, plan) as (endpoint, seen):
        bucket = Bucket(LAKE, replace(access, endpoint=endpoint))
        assert download(bucket, bucket.head("flaky.bin"))[0] == data
    assert len(seen) > 5


@pytest.mark.parametrize("fault", [Fault(503), Fault(cut_after=10)])
def test_lasting_failures_end(store: ObjectStore, access: Access, fault: Fault) -> None:
    store.put("broken.bin", b"x" * 100)
    found = Bucket(LAKE, access).head("broken.bin")
    with faulty(store.endpoint, lambda *_: fault) as (endpoint, seen), pytest.raises(StoreUnavailableError):
        download(Bucket(LAKE, replace(access, endpoint=endpoint)), found)
    assert 3 <= len(seen) <= 50


def test_a_store_that_does_not_answer_is_given_up(
    store: ObjectStore, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CLIENT", {**objects.CLIENT, "read_timeout": "100ms", "timeout": "100ms"})
    monkeypatch.setattr(objects, "RETRY", {**objects.RETRY, "max_retries": 1})
    with (
        faulty(store.endpoint, lambda *_: Fault(wait_seconds=2)) as (endpoint, _),
        pytest.raises(StoreUnavailableError, match="does not answer in time"),
    ):
        Bucket(LAKE, replace(access, endpoint=endpoint)).head("slow.bin")


def test_a_put_without_an_answer_is_repeated(
    store: ObjectStore, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CLIENT", {**objects.CLIENT, "read_timeout": "2s"})

    def plan(method: str, _: str, number: int) -> Fault | None:
        return Fault(wait_seconds=30) if (method, number) == ("PUT", 1) else None

    with faulty(store.endpoint, plan) as (endpoint, seen):
        bucket = Bucket(LAKE, replace(access, endpoint=endpoint))
        bucket.create("slow/put", b"first")
        assert bucket.read("slow/put", 10) == b"first"
    assert seen[:2] == ["PUT /lake/slow/put"] * 2


def test_an_object_that_changes_is_not_mixed(store: ObjectStore, access: Access) -> None:
    store.put("moving.bin", b"a" * (2 * objects.PART_BYTES))
    bucket = Bucket(LAKE, access)
    found = bucket.head("moving.bin")
    store.put("moving.bin", b"b" * (2 * objects.PART_BYTES))
    with pytest.raises(StoreUnavailableError, match="changed while it was read"):
        download(bucket, found)


def test_sizes_are_limited_before_reading(store: ObjectStore, access: Access) -> None:
    store.put("large.bin", b"x" * 1001)
    with faulty(store.endpoint, lambda *_: None) as (endpoint, seen):
        bucket = Bucket(LAKE, replace(access, endpoint=endpoint))
        with pytest.raises(StoreLimitError, match="has 1001 bytes, the limit is 1000"):
            download(bucket, bucket.head("large.bin"), limit=1000)
        with pytest.raises(StoreLimitError, match="has 1001 bytes, the limit is 1000"):
            bucket.read("large.bin", 1000)
    assert all(request.startswith("HEAD") for request in seen)


def test_an_object_is_created_once(store: ObjectStore, access: Access, tmp_path: Path) -> None:
    bucket = Bucket(LAKE, access)
    assert bucket.create("create/x", b"first")
    assert not bucket.create("create/x", b"second")
    assert bucket.read("create/x", 10) == b"first"
    large = tmp_path / "large"
    large.write_bytes(random.Random(2).randbytes(2 * objects.UPLOAD_PART_BYTES + 3))
    bucket.replace("create/x", large)
    assert download(bucket, bucket.head("create/x"))[0] == large.read_bytes()
    assert {key for key in store.keys() if key.startswith("create/")} == {"create/x"}  # noqa: SIM118


@pytest.mark.parametrize(
    ("uri", "credentials", "path"),
    [
        ("az://lake", {"AZURE_STORAGE_ACCOUNT_NAME": "acme", "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0"}, "/lake/a.csv"),
        (
            "az://lake",
            {"AZURE_STORAGE_ACCOUNT_NAME": "acme", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=hush"},
            "/lake/a.csv",
        ),
        ("gs://lake", {"GOOGLE_SKIP_SIGNATURE": "true"}, "/lake/a%2Ecsv"),
        ("s3://lake", {"AWS_SKIP_SIGNATURE": "true"}, "/lake/a.csv"),
    ],
)
def test_each_kind_of_store_is_asked_at_its_endpoint(
    store: ObjectStore, uri: str, credentials: dict[str, str], path: str
) -> None:
    with faulty(store.endpoint, lambda *_: Fault(403)) as (endpoint, seen):
        address = parse(uri)
        assert isinstance(address, ObjectAddress)
        with pytest.raises(StoreForbiddenError, match="credentials of the Secret 'lake'") as error:
            Bucket(address, Access(endpoint, "", "lake", credentials)).head("a.csv")
    assert seen[0].partition("?")[0] == f"HEAD {path}"
    assert "hush" not in str(error.value)


def test_a_key_that_is_none_is_told() -> None:
    wrong = Access("", "", "lake", {"GOOGLE_SERVICE_ACCOUNT_KEY": "not JSON"})
    with pytest.raises(StoreForbiddenError, match="cannot use the credentials of the Secret 'lake'"):
        Bucket(ObjectAddress("gs", "lake", ""), wrong)
