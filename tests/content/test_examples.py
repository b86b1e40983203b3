"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import provision

# The code that runs on machines has no public docstrings; what runs as a program of its own does so when imported.
NOT_THESE = ("provision.machine", "provision.__main__", "provision._ansible")
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(provision.__path__, "provision.", onerror=lambda _: None)
    if not found.name.startswith(NOT_THESE)
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_every_part_of_the_package_is_looked_at() -> None:
    assert {name.split(".")[1] for name in MODULES} >= {"actions", "cli", "engine", "pictures", "store", "words"}
