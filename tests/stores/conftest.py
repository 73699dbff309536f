import os
from collections.abc import Iterator

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from modelwright_server.stores import Access
from tests.support.object_store import REGION, ObjectStore, running_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running_store(tmp_path_factory.mktemp("store") / "s3") as running:
        yield running


@pytest.fixture
def access(store: ObjectStore) -> Access:
    return Access(store.endpoint, REGION, "lake", store.credentials)
