"""Every input that ever broke a promise keeps it now; and each target holds for half a second of new ones."""

import random

import pytest

from fuzz.run import CORPUS, PIECES, fuzz, mutated
from fuzz.targets import SEEDS, TARGETS, text
from slotel.runtime.metrics.scrape.exposition import Exposition
from slotel.runtime.metrics.store.family import Family
from slotel.runtime.metrics.store.table import bounded
from support.promtool import check_metrics

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


def test_a_real_prometheus_reads_label_values_from_anywhere():
    chance, pool = random.Random(7), [*SEEDS["exposition"], *PIECES]
    values = {bounded(text(mutated(chance.choice(pool), chance, pool))) for _ in range(500)}
    rows = {(value,): (1.0,) for value in values}
    family = Family("fuzz", "counter", "Help.", "", ("value",), (), rows, {}, 0.0)
    written = "".join(Exposition({"service.name": min(values)}).render([family], openmetrics=False))
    assert len(rows) > 300
    assert "parsing error" in check_metrics(written + 'fuzz_total{value="x} 1\n'), "it would say so"
    assert "parsing error" not in check_metrics(written)
