"""An exception's text is the one of `traceback.format_exception`, the first time and from the cache."""

import traceback
from collections import UserDict
from types import SimpleNamespace

import pytest

from slotel.runtime.tracing.fast.exception_text import ExceptionText

TEXT = ExceptionText()


def plain():
    raise ValueError("two\nlines")


def within_an_expression():
    return [1, 2][len(TEXT._frames) + 5] + {"a": 1}["b"]


def misspelt_name():
    colour = 1
    return color + colour  # noqa: F821 on purpose


def misspelt_attribute():
    return SimpleNamespace(colour=1).color


def deep(levels=30):
    return deep(levels - 1) if levels else 1 / 0


def alternating(levels=12):
    return other(levels - 1) if levels else 1 / 0


def other(levels):
    return alternating(levels - 1) if levels > 0 else 1 / 0


def caused():
    try:
        plain()
    except ValueError as error:
        raise KeyError("outer") from error


def while_handling():
    try:
        plain()
    except ValueError:
        UserDict()["missing"]


def from_none():
    try:
        plain()
    except ValueError:
        raise RuntimeError("alone") from None


def unreadable():
    class OddError(Exception):
        def __str__(self):
            raise ValueError("no text")

    raise OddError


def from_no_file():
    exec(compile("def f():\n    return 1 / 0\nf()", "<nowhere>", "exec"), {})


def not_code():
    compile("a = = 1", "<given>", "exec")


def a_group():
    group = __builtins__["ExceptionGroup"] if isinstance(__builtins__, dict) else __builtins__.ExceptionGroup
    raise group("several", [ValueError("one"), KeyError("two")])


def noted():
    error = ValueError("with notes")
    if hasattr(error, "add_note"):
        error.add_note("a note")
    raise error


@pytest.mark.parametrize(
    "fails",
    [
        plain, within_an_expression, misspelt_name, misspelt_attribute, deep, alternating, caused, while_handling, from_none,
        unreadable, from_no_file, not_code, a_group, noted,
    ],
)  # fmt: skip
@pytest.mark.parametrize("time", ["first", "again"])
def test_the_text_is_that_of_the_standard_library(fails, time):
    with pytest.raises(Exception) as caught:  # noqa: PT011 any
        fails()
    assert TEXT(caught.value) == "".join(traceback.format_exception(caught.value)), time


def test_an_exception_that_was_never_raised_has_a_text_too():
    assert TEXT(ValueError("x")) == "ValueError: x\n"


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("slotel.runtime.tracing.fast.exception_text._MAX_FRAMES", 3)
    text = ExceptionText()
    for fails in (plain, within_an_expression, deep, plain):
        with pytest.raises(Exception) as caught:  # noqa: PT011 any
            fails()
        assert text(caught.value) == "".join(traceback.format_exception(caught.value))
        assert len(text._frames) <= 3
