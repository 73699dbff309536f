"""The command line: `python -m tests.benchmarks NAME` prints tables and writes build/bench/NAME.json."""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import operator_scale, serving_start
from tests.benchmarks.report import machine, write
from tests.cluster.settings import REPOSITORY, ClusterError
from tests.e2e.fixtures import Team
from tests.support.clusters import end_tidily, fresh_namespace, running_cluster
from tests.support.installation import install

BENCHMARKS = {"serving-start": serving_start.run, "operator": operator_scale.run}


def main() -> int:
    """Run one benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures on the real cluster. One that did not run before is removed at the end, unless KEEP=1.",
    )
    parser.add_argument("name", choices=sorted(BENCHMARKS), metavar="NAME", help=" or ".join(sorted(BENCHMARKS)))
    name = parser.parse_args().name
    end_tidily()
    described = machine()
    try:
        with running_cluster() as cluster:
            installation = install(cluster)
            with fresh_namespace(cluster, f"modelwright-bench-{name}") as namespace:
                report = BENCHMARKS[name](Team(cluster, namespace, installation))
    except (ClusterError, OSError, AssertionError) as error:
        print(f"benchmark {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\n\n".join(str(table) for table in report.tables))
    print(
        f"\n{described['cores']} cores, {described['memoryGiB']} GiB; load average before: {described['loadAverage']}"
    )
    print(f"written to {write(report, described).relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
