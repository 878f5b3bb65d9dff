"""Every example in a docstring is true."""

import doctest
import importlib
import pkgutil

import pytest

import slotel

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(slotel.__path__, "slotel.")
    if not found.name.startswith(("slotel.cli.demo", "slotel.compile.grafana"))
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 15
