from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.feature_store import repositories
from tests.support.feast_library import worker
from tests.training.builders import Pod

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.support.feast_library import Worker


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """Give the folders that the stages share."""
    for folder in ("workspace", "artifact", "stores/models", "handover/to-features", "handover/from-features"):
        (tmp_path / "pod" / folder).mkdir(parents=True)
    return Pod(tmp_path / "pod")


@pytest.fixture(scope="session")
def feast() -> Generator[Worker]:
    """Give a process that has the real library."""
    with worker() as running:
        yield running


@pytest.fixture(scope="session")
def shop(feast: Worker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository that nobody changes."""
    folder = tmp_path_factory.mktemp("shop")
    feast.make(folder, repositories.shop())
    return folder
