"""The traffic table: what the operator writes is what the server reads, and nothing else is taken."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server.contract.traffic import IN_SERVER, MODES, Canary, Match, Stable, Table, TableError

revisions = st.text("0123456789abcdef", min_size=10, max_size=10)
versions = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?-[0-9a-f]{10}", fullmatch=True)
headers = st.from_regex(r"x-[a-z-]{1,20}", fullmatch=True)
milliseconds = st.integers(1, 600_000)
canaries = st.builds(
    Canary,
    revision=revisions,
    version=versions,
    host=versions,
    rest_port=st.integers(1, 65535),
    grpc_port=st.integers(1, 65535),
)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    stable = draw(st.builds(Stable, revision=revisions, version=versions))
    canary = draw(st.none() | canaries.filter(lambda found: found.revision != stable.revision))
    mode = draw(st.sampled_from(MODES))
    share = st.integers(0, 100) if canary is not None and mode == IN_SERVER else st.just(0)
    return Table(
        stable=stable,
        canary=canary,
        sequence=draw(st.integers(0, 2**53)),
        weight=draw(share),
        shadow_percent=draw(share),
        match=draw(st.none() | st.builds(Match, header=headers, value=values)),
        sticky_header=draw(st.none() | headers),
        canary_timeout_milliseconds=draw(milliseconds),
        latency_threshold_milliseconds=draw(st.none() | milliseconds),
        mode=mode,
    )


def document(**changes: Any) -> dict[str, Any]:
    """Return a table's document, as in docs/traffic.md, with other members."""
    canary = {
        "revision": "5d1c9a7730",
        "version": "churn-5d1c9a7730",
        "host": "churn-canary.ml.svc",
        "restPort": 80,
        "grpcPort": 8081,
    }
    return {
        "format": 1,
        "stable": {"revision": "9f2c41ab07", "version": "churn-9f2c41ab07"},
        "canary": canary,
        "sequence": 17,
        "weight": 5,
        "shadowPercent": 0,
        "match": {"header": "x-canary", "value": "always"},
        "stickyHeader": "x-user",
        "canaryTimeoutMilliseconds": 1000,
        "latencyThresholdMilliseconds": 50,
        "mode": "InServer",
    } | changes


@given(tables())
def test_a_table_survives_status_and_file(table: Table) -> None:
    assert Table.from_json(table.to_json()) == table
    assert Table.from_json(json.loads(json.dumps(table.to_document()))) == table


def test_every_member_is_read() -> None:
    table = Table.from_json(document())
    assert table == Table(
        stable=Stable(revision="9f2c41ab07", version="churn-9f2c41ab07"),
        canary=Canary(
            revision="5d1c9a7730",
            version="churn-5d1c9a7730",
            host="churn-canary.ml.svc",
            rest_port=80,
            grpc_port=8081,
        ),
        sequence=17,
        weight=5,
        match=Match(header="x-canary", value="always"),
        sticky_header="x-user",
        latency_threshold_milliseconds=50,
    )
    assert json.loads(table.to_json()) == document()


def test_what_the_api_server_leaves_out_is_null() -> None:
    bare = {"stable": document()["stable"]}
    assert Table.from_json(bare) == Table.from_json({**bare, "canary": None, "match": None, "stickyHeader": None})


def test_a_newer_operator_may_say_more() -> None:
    assert Table.from_json(document(mirrorHeader="x")) == Table.from_json(document())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "format must be 1, is 2"),
        ({"stable": None}, "stable must be an object"),
        ({"stable": {"revision": "9F2C41AB07", "version": "v"}}, "stable.revision must be ten hex digits"),
        ({"stable": {"revision": "9f2c41ab07"}}, "stable.version must be the name of a ModelVersion, is None"),
        ({"stable": {"revision": "9f2c41ab07", "version": "a\r\nb"}}, "stable.version must be the name"),
        ({"canary": []}, "canary must be an object"),
        ({"canary": document()["canary"] | {"host": "a/b"}}, "canary.host must be the name of a Service"),
        ({"canary": document()["canary"] | {"restPort": 0}}, "canary.restPort must be a whole number from 1 to 65535"),
        ({"canary": document()["canary"] | {"grpcPort": True}}, "canary.grpcPort must be a whole number"),
        ({"canary": document()["canary"] | {"revision": "9f2c41ab07"}}, "canary.revision must not be stable's"),
        ({"canary": None}, "weight and shadowPercent must be 0 where there is no canary"),
        ({"weight": 101}, "weight must be a whole number from 0 to 100, is 101"),
        ({"weight": -1}, "weight must be"),
        ({"weight": 5.0}, "weight must be a whole number from 0 to 100, is 5.0"),
        ({"weight": "5"}, "weight must be"),
        ({"shadowPercent": 101}, "shadowPercent must be"),
        ({"sequence": -1}, "sequence must be"),
        ({"mode": "Mesh"}, "mode must be one of InServer, GatewayAPI, is 'Mesh'"),
        ({"mode": "GatewayAPI"}, "weight and shadowPercent must be 0 where a gateway spreads the requests"),
        ({"match": {"header": "x y", "value": "a"}}, "match.header must be the name of a header"),
        ({"match": {"header": "Host", "value": "a"}}, "match.header must not be 'Host'"),
        ({"match": {"header": "x", "value": ""}}, "match.value must be 1 to 256 printable characters"),
        ({"match": {"header": "x", "value": "a\r\nb"}}, "match.value must be"),
        ({"stickyHeader": "Content-Length"}, "stickyHeader must not be 'Content-Length'"),
        ({"stickyHeader": ""}, "stickyHeader must be the name of a header"),
        ({"canaryTimeoutMilliseconds": 0}, "canaryTimeoutMilliseconds must be a whole number from 1 to 600000"),
        ({"latencyThresholdMilliseconds": 1e3}, "latencyThresholdMilliseconds must be"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TableError) as caught:
        Table.from_json(document(**changes))
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b'{"stable":' + b" " * 70_000 + b"}", b"NaN", b"\x00" * 64],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(TableError):
        Table.from_json(data)
