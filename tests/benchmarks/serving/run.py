"""`python -m tests.benchmarks serving`: our server beside others, all on one core in one run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.benchmarks.serving import results
from tests.benchmarks.serving.comparison import Comparison
from tests.benchmarks.serving.cores import prepare
from tests.benchmarks.serving.load import HttpLoad
from tests.benchmarks.serving.models import model
from tests.benchmarks.serving.payloads import check_answers, json_payload, post
from tests.benchmarks.serving.servers import modelwright, nginx

if TYPE_CHECKING:
    import argparse

    from tests.benchmarks.report import Report


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the command line's options."""
    parser.add_argument("--quick", action="store_true", help="only what the goals need")


def run(chosen: argparse.Namespace) -> Report:
    """Measure and compare."""
    prepare()
    quick: bool = chosen.quick
    comparison = Comparison(repetitions=3, attempts=4 if quick else 8)
    linear = model("linear")
    one = json_payload(linear, 1)
    with ExitStack() as stack:
        ours = stack.enter_context(modelwright(linear))
        check_answers(linear, ours.port, "json", 1)
        comparison.floor = stack.enter_context(nginx(post(ours.port, one)[1]))
        with comparison.between_floors("modelwright", one):
            for connections in (1, 32):
                for varying in (False, True):
                    load = HttpLoad(one, connections, varying)
                    comparison.add(f"modelwright/linear/json/b1/c{connections}" + "/varying" * varying, ours, load)
        comparison.figures["pss_mib"] = ours.process.pss_mib()
    return results.report("serving-quick" if quick else "serving", comparison)
