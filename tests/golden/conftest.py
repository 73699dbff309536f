"""Comparison with golden files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "manifests"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Return a check that a manifest is as its golden file says; `--update-golden` writes the file instead."""
    update = bool(request.config.getoption("--update-golden"))

    def check(name: str, manifest: Any) -> None:
        path = FOLDER / f"{name}.yaml"
        text = yaml.safe_dump(manifest, sort_keys=False, width=160)
        if update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no golden file {path.name}: run pytest with --update-golden and look at what it writes"
        assert text == path.read_text(encoding="utf-8"), (
            f"{path.name} differs: if that is meant, pytest --update-golden"
        )

    return check
