"""The table follows the Deployment's status, and stays when nothing is known of it."""

from modelwright_server.contract.traffic import Table
from tests.monitor.conftest import Sidecar
from tests.monitor.fake_api import TABLE, FakeApi
from tests.monitor.replicas import eventually


def test_the_table_is_what_the_status_says(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    defaults = {"format": 1, "mode": "InServer", "shadowPercent": 0, "canaryTimeoutMilliseconds": 1000}
    assert sidecar.table() == {**defaults, **TABLE}
    assert (sidecar.control / "traffic.json").read_bytes() == Table.from_json(TABLE).to_json()


def test_each_change_arrives(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(None)
    for weight in (5, 25, 50, 0):
        api.put({**TABLE, "weight": weight})
        sidecar.expect(weight)
    assert {kind for kind, _ in api.requests} == {"list", "watch"}
    assert len(api.requests) == 2, "one watch tells all of it"


def test_a_reader_never_sees_half_a_table(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    file = sidecar.control / "traffic.json"
    seen = set()
    for number in range(60):
        api.put({**TABLE, "weight": number % 100})
        seen.add(Table.from_json(file.read_bytes()).weight)
    sidecar.expect(weight=59)
    assert [path.name for path in sidecar.control.iterdir()] == ["traffic.json"]


def test_without_the_api_server_the_last_table_stays_and_afterwards_it_catches_up(
    api: FakeApi, sidecar: Sidecar
) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    worker = sidecar.worker()
    api.down()
    eventually(lambda: "cannot be followed" in sidecar.said(), "nothing said of it")
    api.put({**TABLE, "weight": 50})
    assert sidecar.table()["weight"] == 5
    api.up()
    sidecar.expect(weight=50)
    assert sidecar.worker() == worker, "nothing crashed"
    assert sidecar.said().count("cannot be followed") <= 2, "each thing is said once"


def test_a_broken_connection_is_made_anew(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.drop()
    api.put({**TABLE, "weight": 6})
    sidecar.expect(weight=6)


def test_one_that_takes_a_connection_for_each_request_will_do(api: FakeApi, sidecar: Sidecar) -> None:
    api.closes = True
    api.drop()
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.put({**TABLE, "weight": 6})
    sidecar.expect(weight=6)
    assert "AttributeError" not in sidecar.said()


def test_a_version_too_old_to_watch_from_is_read_anew(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.tell("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version: 1 (2)"})
    eventually(lambda: "too old resource version" in sidecar.said(), sidecar.said())
    api.put({**TABLE, "weight": 7})
    sidecar.expect(weight=7)


def test_bookmarks_and_what_is_not_known_say_nothing(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.tell("BOOKMARK", {"metadata": {"resourceVersion": "1"}})
    api.tell("SOMETHING", {"status": {"traffic": {**TABLE, "weight": 99}}})
    api.put({**TABLE, "weight": 8})
    sidecar.expect(weight=8)
    assert "cannot be followed" not in sidecar.said()


def test_a_renewed_token_is_used(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.tokens = {"second"}
    api.drop()
    eventually(lambda: "401" in sidecar.said(), "an old token is no longer taken")
    (api.folder / "token").write_text("second\n", encoding="ascii")
    api.put({**TABLE, "weight": 9})
    sidecar.expect(weight=9)


def test_a_refusal_is_said_and_tried_again(api: FakeApi, sidecar: Sidecar) -> None:
    api.answer = (403, {"message": 'modeldeployments is forbidden: User "u" cannot list'})
    eventually(lambda: "is forbidden" in sidecar.said(), "no word of the missing right")
    api.answer = (429, {"message": "too many requests"})
    eventually(lambda: "too many requests" in sidecar.said(), "no word of the refusal")
    seen = len(api.asked_at)
    eventually(lambda: len(api.asked_at) > seen + 1, "never tried again")
    first, second = api.asked_at[seen : seen + 2]
    assert second - first > 0.9, "the API server asked for a pause of a second"
    api.answer = None
    api.put(TABLE)
    sidecar.expect(weight=5)


def test_what_is_no_table_changes_nothing(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.put({**TABLE, "weight": 101})
    eventually(lambda: "weight must be a whole number from 0 to 100" in sidecar.said(), sidecar.said())
    api.put(None)
    api.put({**TABLE, "stable": None})
    eventually(lambda: "stable must be an object" in sidecar.said(), sidecar.said())
    assert sidecar.table()["weight"] == 5
    api.put({**TABLE, "weight": 10, "somethingNew": 1})
    sidecar.expect(weight=10)


def test_a_deployment_made_anew_is_followed_and_a_deleted_one_leaves_its_table(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    api.delete()
    api.put(None, uid="u2")
    api.put({**TABLE, "weight": 11}, uid="u2")
    sidecar.expect(weight=11)


def test_answers_that_are_none_break_nothing(api: FakeApi, sidecar: Sidecar) -> None:
    api.answer = (200, {"kind": "Banner"})
    eventually(lambda: "not an answer of the Kubernetes API" in sidecar.said(), sidecar.said())
    worker = sidecar.worker()
    api.answer = None
    api.put(TABLE)
    sidecar.expect(weight=5)
    assert sidecar.worker() == worker


def test_a_table_that_cannot_be_written_is_written_later(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    (sidecar.control / ".traffic.json.new").mkdir()  # in the way
    api.put({**TABLE, "weight": 12})
    eventually(lambda: "the table cannot be written" in sidecar.said(), sidecar.said())
    assert sidecar.table()["weight"] == 5
    (sidecar.control / ".traffic.json.new").rmdir()
    sidecar.expect(weight=12)
