import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from modelwright_server.stores import Access
from tests.server import models
from tests.server.models import Built
from tests.support.object_store import REGION, ObjectStore, running_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running_store(tmp_path_factory.mktemp("store") / "s3") as running:
        yield running


@pytest.fixture
def access(store: ObjectStore) -> Access:
    return Access(store.endpoint, REGION, "lake", store.credentials)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    folder = tmp_path_factory.mktemp("stores") / models.CLAIM

    @cache
    def build(name: str) -> Built:
        return models.BUILDERS[name](folder, name)

    return build
