"""One model, one request of it, a canary that all tests of a module share, and a stable pod beside it."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.server.models import Built
from tests.server.routing.tracks import CANARY, STABLE, Pod, pod, table


@pytest.fixture(scope="session")
def model(built: Callable[[str], Built]) -> Built:
    return built("logistic")


@pytest.fixture(scope="session")
def body(model: Built) -> bytes:
    return json.dumps({"inputs": model.inputs(model.rows.iloc[:1])}).encode()


@pytest.fixture(scope="package")
def canary(model: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    with pod(model.folder, tmp_path_factory.mktemp("canary"), CANARY, table(9)) as running:
        yield running


@pytest.fixture(scope="package")
def shared_stable(model: Built, canary: Pod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    content = table(canary.server.port, canary.server.grpc_port)
    with pod(model.folder, tmp_path_factory.mktemp("stable"), STABLE, content) as running:
        yield running


@pytest.fixture
def stable(shared_stable: Pod, canary: Pod) -> Pod:
    """The shared stable pod, at a step of its own with 10 % for the shared canary."""
    shared_stable.next_step(canary)
    return shared_stable
