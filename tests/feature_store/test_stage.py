"""The stage with the real Feast: what it leaves for given rows, and what it refuses."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelwright_training import contract
from modelwright_training.contract import Failure, FeaturesResult, Reason, Stage
from modelwright_training.feature_store import notes
from tests.feature_store import repositories
from tests.feature_store.repositories import CONFIGURATION, give, job

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_training.contract import JobConfig
    from tests.support.feast_library import Worker
    from tests.training.builders import Pod

ROWS: dict[str, list[Any]] = {
    "customer": [3, 1, 1, 2, 9, 1, 2],
    "seen": [
        "2025-01-02T12:00:00Z",  # between two values
        "2025-01-03T00:00:00Z",  # at the time of one
        "2025-01-03T00:00:00Z",  # the same row again
        "2025-01-03T06:00:00Z",  # two values of one time
        "2025-01-02T12:00:00Z",  # nobody known
        "2024-12-31T00:00:00Z",  # before all values
        "2025-02-01T00:00:00Z",  # after the last value has ended
    ],
    "churned": list("ababbab"),
}


def table(**changes: Any) -> pa.Table:
    return pa.table({**ROWS, **changes})


def run(feast: Worker, pod: Pod, config: JobConfig, repository: Path | None, **tables: pa.Table) -> Any:
    """Run the stage as the pod does; return what it says."""
    folder = give(pod, tables or {"all": table()})
    if repository is not None:
        shutil.copytree(repository, folder)
    code = feast.stage(pod.environment(config))
    said = pod.message(Stage.FEATURES)
    assert said is not None
    assert code == (2 if isinstance(said, Failure) else 0)
    return said


def left(pod: Pod, name: str = "all") -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = pq.read_table(
        pod.root / "handover" / contract.FROM_FEATURES / f"{name}.parquet"
    ).to_pydict()
    return found


def test_every_row_gets_what_was_known_at_its_time_and_none_is_lost(feast: Worker, pod: Pod, shop: Path) -> None:
    said = run(feast, pod, job(), shop)
    assert left(pod) == {
        **ROWS,
        "spent": [31.0, 12.0, 12.0, 77.0, None, None, None],
        "plan": ["b", "a", "a", "z", None, None, None],
        "price": [2.5, 3.5, 3.5, 3.5, 2.5, None, 3.5],
    }
    assert isinstance(said, FeaturesResult)
    assert (said.names, said.count, said.feast[:4]) == (("spent", "plan", "price"), 3, "0.67")
    assert said.registry == f"sha256:{hashlib.sha256((shop / 'data/registry.db').read_bytes()).hexdigest()}"
    told = notes.read(pod.root / "handover" / contract.FROM_FEATURES)
    assert told.left_out == ("seen", "customer")
    assert told.missing == {"spent": 3, "plan": 3, "price": 1}
    assert (told.registry, told.sources) == (said.registry, said.sources)


def test_rows_are_the_same_whatever_way_features_are_asked_for(feast: Worker, pod: Pod, shop: Path) -> None:
    asked = job(features=("stats:calls", "prices:price", "stats:plan"), full_feature_names=True)
    said = run(feast, pod, asked, shop)
    assert said.names == ("stats__calls", "stats__plan", "prices__price")
    found = pq.read_table(pod.root / "handover" / contract.FROM_FEATURES / "all.parquet")
    assert found.column("stats__calls").to_pylist() == [4, 3, 3, 77, None, None, None]
    assert found.schema.field("stats__calls").type == pa.int64()  # as declared, gaps or not


def test_a_view_is_joined_twice_by_other_keys(feast: Worker, pod: Pod, shop: Path) -> None:
    pairs = pa.table({"buyer": [1, 1, 2], "seller": [3, 1, 1], "seen": ["2025-01-03"] * 3, "churned": ["a", "b", "a"]})
    said = run(feast, pod, job(service="pairs", full_feature_names=True), shop, all=pairs)
    assert said.names == ("buyer__spent", "seller__spent")
    assert left(pod)["buyer__spent"] == [12.0, 12.0, 77.0]
    assert left(pod)["seller__spent"] == [32.0, 12.0, 12.0]
    assert notes.read(pod.root / "handover" / contract.FROM_FEATURES).left_out == ("seen", "buyer", "seller")


def test_all_data_sets_get_features_and_one_may_find_none(feast: Worker, pod: Pod, shop: Path) -> None:
    late = pa.table({**{name: values[:1] for name, values in ROWS.items()}, "seen": ["2025-06-01T00:00:00Z"]})
    run(feast, pod, job("train", "late", features=("stats:spent",)), shop, train=table(), late=late)
    assert left(pod, "train")["spent"][:2] == [31.0, 12.0]
    assert left(pod, "late")["spent"] == [None]


def test_a_key_that_is_called_categorical_stays_a_feature(feast: Worker, pod: Pod, shop: Path) -> None:
    asked = job()
    columns = replace(asked.columns, categorical=("customer",))
    run(feast, pod, replace(asked, columns=columns), shop)
    assert notes.read(pod.root / "handover" / contract.FROM_FEATURES).left_out == ("seen",)


@pytest.mark.parametrize(
    "customers",
    [
        pa.array([3.0, 1.0, 1.0, 2.0, float("nan"), 1.0, 2.0]),  # as CSV has whole numbers with gaps
        pa.array([3, 1, 1, 2, None, 1, 2], pa.int16()),
        pa.array([3, 1, 1, 2, None, 1, 2]).dictionary_encode(),
    ],
)
def test_keys_are_compared_by_value_and_may_be_missing(
    feast: Worker, pod: Pod, shop: Path, customers: pa.Array
) -> None:
    run(feast, pod, job(), shop, all=table(customer=customers))
    assert left(pod)["spent"] == [31.0, 12.0, 12.0, 77.0, None, None, None]


def test_of_values_of_one_time_the_one_written_last_counts(feast: Worker, pod: Pod, tmp_path: Path) -> None:
    """Feast's file store alone takes any of them once there are more than a few."""
    feast.make(
        tmp_path / "many",
        repositories.shop(
            "rng = np.random.default_rng(0)\n"
            "at = pd.Timestamp('2025-01-01', tz='UTC')\n"
            "written = at + pd.to_timedelta(rng.permutation(4000), unit='s')\n"
            "pd.DataFrame({'customer': np.arange(4000) % 200, 'day': at, 'written': written,"
            " 'spent': np.arange(4000.0), 'calls': 0, 'plan': 'a'}).to_parquet('data/stats.parquet')\n"
        ),
    )
    stats = pq.read_table(tmp_path / "many/data/stats.parquet").to_pylist()
    newest: dict[int, tuple[Any, float]] = {}
    for row in stats:
        newest[row["customer"]] = max(
            newest.get(row["customer"], (row["written"], -1.0)), (row["written"], row["spent"])
        )
    customers = list(newest)
    rows = pa.table({"customer": customers, "seen": ["2025-01-02"] * 200, "churned": ["a", "b"] * 100})
    run(feast, pod, job(features=("stats:spent",)), tmp_path / "many", all=rows)
    assert left(pod)["spent"] == [newest[customer][1] for customer in customers]


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "an unknown service": (
        "",
        {"service": "chrun"},
        {},
        "no feature service 'chrun'; there are churn, computed, pairs",
    ),
    "an unknown view": ("", {"features": ("stat:spent",)}, {}, "no feature view 'stat'; there are prices, stats"),
    "an unknown feature": (
        "",
        {"features": ("stats:spend",)},
        {},
        "has no feature 'spend'; there are calls, plan, spent",
    ),
    "a view of code": ("", {"features": ("doubled:twice",)}, {}, "an on-demand feature view, whose code is not run"),
    "a service with code": ("", {"service": "computed"}, {}, "an on-demand feature view, whose code is not run"),
    "two features of one name": (
        "",
        {"service": "pairs"},
        {},
        "two features are called 'spent'; set features.feast.full",
    ),
    "a feature with a column's name": (
        "",
        {},
        {"plan": ["x"] * 7},
        "'plan' has the name of a column of data set 'all'",
    ),
    "no such time": (
        "",
        {"timestamp": "at"},
        {},
        "data set 'all' has no column 'at'; there are customer, seen, churned",
    ),
    "times that are none": ("", {}, {"seen": ["soon"] * 7}, "holds texts that are no times"),
    "times that are numbers": ("", {}, {"seen": list(range(7))}, "has the type int64; give timestamps"),
    "times that are missing": ("", {}, {"seen": [*ROWS["seen"][:6], None]}, "is missing in 1 of 7 rows"),
    "a text as key": ("", {}, {"customer": ["c-1"] * 7}, "has texts, but the feature view 'stats' has int64"),
    "a fraction as key": ("", {}, {"customer": [1.5] * 7}, "is double, which cannot be compared with the int64"),
    "nobody known": ("", {}, {"customer": [7] * 7}, "has none of the data's values of customer"),
    "nothing early enough": ("", {}, {"seen": ["2020-01-01"] * 7}, "its times go from 2025-01-01T00:00:00+00:00 to"),
    "an absolute path": (
        "stats.batch_source.file_options.uri = '/srv/stats.parquet'\n",
        {},
        {},
        "'/srv/stats.parquet', outside the repository pvc://lake/features",
    ),
    "a path out of the folder": (
        "stats.batch_source.file_options.uri = 'data/../../x'\n",
        {},
        {},
        "outside the repository",
    ),
    "a bucket": ("stats.batch_source.file_options.uri = 's3://b/x.parquet'\n", {}, {}, "outside the repository"),
    "a file that is gone": ("import os; os.remove('data/stats.parquet')\n", {}, {}, "which is not in the repository"),
    "a file that is none": ("open('data/stats.parquet', 'w').write('x')\n", {}, {}, "is no Parquet that can be read"),
    "a file without a column": (
        "prices_ = pd.read_parquet('data/prices.parquet'); prices_.to_parquet('data/stats.parquet')\n",
        {},
        {},
        "has no column 'customer'",
    ),
    "a feature of another type": (
        "pd.read_parquet('data/stats.parquet').assign(calls=0.5).to_parquet('data/stats.parquet')\n",
        {"features": ("stats:calls",)},
        {},
        "is declared as int64, but its file has another type",
    ),
    "a feature that is a list": (
        "stats.features.append(Field(name='all', dtype=Array(Float32)))\n",
        {"features": ("stats:all",)},
        {},
        "is a FLOAT_LIST; features are numbers, truth values or texts",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said(feast: Worker, pod: Pod, shop: Path, tmp_path: Path, case: str) -> None:
    more, asked, rows, says = REFUSED[case]
    repository = shop
    if more:
        repository = tmp_path / "changed"
        feast.make(repository, repositories.shop(more))
    said = run(feast, pod, job(**asked), repository, all=table(**rows))
    assert (said.reason, says in said.message) == (Reason.FEATURES_INVALID, True), said


SPOILT: dict[str, tuple[str, bytes | None, str]] = {
    "no repository": ("feature_store.yaml", None, "is no Feast repository, it has no feature_store.yaml"),
    "no YAML": ("feature_store.yaml", b"a: [", "is no YAML"),
    "not what it should be": ("feature_store.yaml", b"- shop", "must have a project and a registry"),
    "no registry": ("data/registry.db", None, "'data/registry.db', which is not in the repository"),
    "a damaged registry": ("data/registry.db", b"\xff\xff\xff", "is no registry of Feast's"),
    "a newer registry": ("data/registry.db", b"\x1a\x012", "has the schema version '2', which this release"),
    "an SQL registry": (
        "feature_store.yaml",
        b"{project: shop, registry: {registry_type: sql, path: 'postgresql://x'}}",
        "is of the type 'sql'; only a registry file",
    ),
    "a registry elsewhere": ("feature_store.yaml", b"{project: shop, registry: /etc/hosts}", "outside the repository"),
    "another project": (
        "feature_store.yaml",
        b"{project: other, registry: data/registry.db}",
        "there are none in this",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_no_repository_is_said(feast: Worker, pod: Pod, shop: Path, tmp_path: Path, case: str) -> None:
    path, content, says = SPOILT[case]
    spoilt = tmp_path / "spoilt"
    shutil.copytree(shop, spoilt)
    (spoilt / path).unlink()
    if content is not None:
        (spoilt / path).write_bytes(content)
    said = run(feast, pod, job(), spoilt)
    assert (said.reason, says in said.message) == (Reason.FEATURES_INVALID, True), said


def test_addresses_below_the_repository_are_its_files(feast: Worker, pod: Pod, tmp_path: Path) -> None:
    uri = "s3://lake/shop"
    feast.make(tmp_path / "shop", repositories.shop())
    feast.make(tmp_path / "shop", MOVED.format(uri=uri))
    text = CONFIGURATION.replace("data/registry.db", f"{uri}/data/registry.db")
    (tmp_path / "shop/feature_store.yaml").write_text(text, encoding="utf-8")
    run(feast, pod, job(uri=uri), tmp_path / "shop")
    assert left(pod)["price"][0] == 2.5


def test_no_code_of_the_repository_runs(feast: Worker, pod: Pod, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    feast.make(tmp_path / "shop", repositories.shop())
    trap = f"open({str(mark)!r}, 'w').write('x')"
    for name in ("feature_store.py", "features.py", "sitecustomize.py", "data/stats.py"):
        (tmp_path / "shop" / name).write_text(trap, encoding="utf-8")
    feast.make(tmp_path / "shop", POISON.format(trap=trap))
    assert b"posix" in (tmp_path / "shop/data/registry.db").read_bytes()
    run(feast, pod, job(), tmp_path / "shop")
    assert left(pod)["spent"][:2] == [31.0, 12.0]
    assert not mark.exists()


# The function of the on-demand view beside those asked for is replaced by what runs a command as soon as it is loaded.
POISON = """
import os, pickle
from feast.protos.feast.core.Registry_pb2 import Registry
class Trap:
    def __reduce__(self):
        return (exec, ({trap!r},))
registry = Registry()
registry.ParseFromString(open("data/registry.db", "rb").read())
for view in registry.on_demand_feature_views:
    udf = view.spec.feature_transformation.user_defined_function
    udf.body = pickle.dumps(Trap())
    udf.body_text = "posix"
open("data/registry.db", "wb").write(registry.SerializeToString())
"""

# As in a registry that was made for a repository in a bucket: what its views read is there, too.
MOVED = """
from feast.protos.feast.core.Registry_pb2 import Registry
registry = Registry()
registry.ParseFromString(open("data/registry.db", "rb").read())
for view in registry.feature_views:
    options = view.spec.batch_source.file_options
    options.uri = "{uri}/" + options.uri
open("data/registry.db", "wb").write(registry.SerializeToString())
"""
