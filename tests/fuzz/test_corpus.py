"""Every input that ever broke a promise keeps it now; and each target holds for half a second of new ones."""

import random

import pytest

from fuzz.run import CORPUS, fuzz
from fuzz.targets import SEEDS, TARGETS

INPUTS = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).glob("*"))]


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_and_the_corpus_are_taken(name):
    for data in SEEDS[name]:
        TARGETS[name](data)
    for target, path in INPUTS:
        if target == name:
            TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_nobody_has_thought_of_is_taken(name):
    runs, broken = fuzz(name, 0.4, random.Random(7))
    assert runs > 0
    assert broken == 0
