"""What every test needs: no telemetry, and the plugins."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported anywhere

pytest_plugins = [
    "tests.cluster.fixtures",
    "tests.e2e.fixtures",
    "tests.e2e.rollouts",
    "tests.support.browser",
    "tests.support.plugin",
    "tests.support.workers",
]
