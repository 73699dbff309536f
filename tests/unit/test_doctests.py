"""Examples in docstrings are tests as well."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import modelwright_cli
import modelwright_operator

MODULES = [
    module.name
    for package in (modelwright_operator, modelwright_cli)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 8
