"""A framework that is used and not instrumented is named in one line, with the command that mends it."""

import sys

import pytest

from slotel.runtime.setup import uninstrumented


@pytest.mark.parametrize(
    ("name", "level", "consequence"),
    [
        ("falcon", "WARNING", "counted at the server, without routes"),
        ("tornado", "ERROR", "not traced or counted"),
    ],
)
def test_a_framework_that_nothing_instruments_is_named(monkeypatch, caplog, name, level, consequence):
    monkeypatch.setattr(uninstrumented.importlib.util, "find_spec", lambda _name: None)
    uninstrumented._tell(name, False, None)
    (record,) = caplog.records
    assert record.levelname == level
    assert consequence in record.getMessage()
    assert "run: slotel bootstrap [SLO130]" in record.getMessage()


def test_an_instrumented_framework_and_starlette_below_fastapi_are_no_news(monkeypatch, caplog):
    uninstrumented._tell("flask", False, None)
    monkeypatch.setitem(sys.modules, "fastapi", sys)
    monkeypatch.setattr(uninstrumented.importlib.util, "find_spec", lambda _name: None)
    uninstrumented._tell("starlette", False, None)
    assert not caplog.records
