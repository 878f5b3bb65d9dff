"""A start looks for no garbage, and leaves Python's collector as it was."""

import gc

import pytest

from slotel.runtime import bootstrap
from slotel.runtime.distro import SlotelConfigurator


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def was_enabled(request):
    before = gc.isenabled()
    gc.unfreeze()  # the tests' own objects, whose number falls when one ends
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()
    gc.freeze()


@pytest.mark.parametrize("error", [None, RuntimeError("on purpose")])
def test_a_start_leaves_the_collector_as_it_was(monkeypatch, was_enabled, error):
    told = []

    def start(*_, **__):
        told.append(gc.isenabled())
        if error is not None:
            raise error

    monkeypatch.setattr(bootstrap, "start", start)
    SlotelConfigurator().configure()
    assert told == [False]
    assert (gc.isenabled(), gc.get_freeze_count()) == (was_enabled, 0)
