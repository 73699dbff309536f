"""What every test needs: no telemetry, and the plugins."""

import os
import signal

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported anywhere
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored, by all programs begun here too

pytest_plugins = [
    "tests.cluster.fixtures",
    "tests.e2e.fixtures",
    "tests.e2e.rollouts",
    "tests.support.browser",
    "tests.support.plugin",
    "tests.support.workers",
]
