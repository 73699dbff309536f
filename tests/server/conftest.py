"""Models are built once a session; each has one server that tests without side effects share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tests.server import models
from tests.server.models import Built
from tests.server.process import Server, settings


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """Build a model by name, once."""
    store = tmp_path_factory.mktemp("stores") / models.CLAIM

    @cache
    def build(name: str) -> Built:
        with threadpool_limits(1):  # more threads than free cores wait for each other
            return models.BUILDERS[name](store, name)

    return build


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
