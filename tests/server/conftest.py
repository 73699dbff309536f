"""Models are built once a session; each has one server that tests without side effects share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.server import models
from tests.server.models import Built
from tests.server.process import Server, settings


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """Build a model by name, once."""
    store = tmp_path_factory.mktemp("stores") / models.CLAIM
    return cache(lambda name: models.BUILDERS[name](store, name))


@pytest.fixture(scope="session")
def serving(
    built: Callable[[str], Built], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Server]]:
    """Return the shared server of a model."""
    with ExitStack() as stack:
        yield cache(
            lambda name: stack.enter_context(
                Server(settings(built(name).folder, tmp_path_factory.mktemp(name)))
            ).wait_until_ready()
        )


@pytest.fixture
def logistic(serving: Callable[[str], Server]) -> Server:
    return serving("logistic")


@pytest.fixture
def mixed(serving: Callable[[str], Server]) -> Server:
    return serving("mixed")


@pytest.fixture
def termination_log(tmp_path: Path) -> Path:
    return tmp_path / "termination-log"
