"""A real single-node Kubernetes for the tests, with one command: `python -m tests.cluster up`.

Where a Docker or Podman engine answers, the node is kind's. Elsewhere it is made of the real programs, built from
their published Go modules, inside namespaces of its own. Only the standard library is used: it runs before any
virtual environment exists.
"""

from tests.cluster.lifecycle import down, is_up, load, status, up
from tests.cluster.settings import ClusterError

__all__ = ["ClusterError", "down", "is_up", "load", "status", "up"]
