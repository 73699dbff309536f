"""The command line: `python -m tests.benchmarks NAME` prints tables and writes build/bench/NAME.json."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tests.benchmarks import (
    automl,
    calibration,
    monitoring,
    object_store,
    operator_scale,
    routing,
    serving_start,
    stationary,
    training_memory,
    verdicts,
)
from tests.benchmarks.report import machine, write
from tests.benchmarks.serving import peers, soak
from tests.benchmarks.serving import run as serving
from tests.benchmarks.serving.cores import BenchmarkError
from tests.cluster.settings import REPOSITORY, ClusterError
from tests.e2e.fixtures import Team
from tests.support.clusters import end_tidily, fresh_namespace, running_cluster
from tests.support.installation import install

if TYPE_CHECKING:
    from tests.benchmarks.report import Report

ON_CLUSTER = {"serving-start": serving_start.run, "operator": operator_scale.run, "stationary": stationary.run}
LOCAL = {
    "store": object_store,
    "serving": serving,
    "routing": routing,
    "peers": peers,
    "soak": soak,
    "training-memory": training_memory,
    "automl": automl,
    "calibration": calibration,
    "monitoring": monitoring,
    "verdicts": verdicts,
}


def main() -> int:
    """Run one benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name in ON_CLUSTER:
        names.add_parser(name, help="on the real cluster; one that did not run before is removed, unless KEEP=1")
    for name, module in LOCAL.items():
        module.options(names.add_parser(name, help="on this machine"))
    chosen = parser.parse_args()
    end_tidily()
    described = machine()
    try:
        report = LOCAL[chosen.name].run(chosen) if chosen.name in LOCAL else _on_cluster(chosen.name)
    except (BenchmarkError, ClusterError, OSError, AssertionError) as error:
        print(f"benchmark {chosen.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\n\n".join(str(table) for table in report.tables))
    print(
        f"\n{described['cores']} cores, {described['memoryGiB']} GiB; load average before: {described['loadAverage']}"
    )
    print(f"written to {write(report, described).relative_to(REPOSITORY)}")
    return 0


def _on_cluster(name: str) -> Report:
    with running_cluster() as cluster:
        installation = install(cluster, feast=False)
        with fresh_namespace(cluster, f"modelwright-bench-{name}") as namespace:
            return ON_CLUSTER[name](Team(cluster, namespace, installation))


if __name__ == "__main__":
    sys.exit(main())
