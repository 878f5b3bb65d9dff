"""An exception's text is the one of `traceback.format_exception`, the first time and from the cache."""

import io
import logging
import sys
import traceback
from collections import UserDict
from types import SimpleNamespace

import pytest

from slotel.runtime.upstream.exception_text import ExceptionText, write_log_records_by

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


def caused_by_one_that_was_never_raised():
    raise KeyError("outer") from ValueError("inner")


def in_a_circle():
    first, second = ValueError("first"), KeyError("second")
    first.__context__, second.__context__ = second, first
    raise first


def of_its_own_kind():
    class OwnError(Exception):
        """Is named with its module."""

    raise OwnError


def three_in_a_row():
    try:
        while_handling()
    except KeyError as error:
        raise OSError(2, "gone", "a file") from error


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
        unreadable, from_no_file, not_code, a_group, noted, caused_by_one_that_was_never_raised, in_a_circle, of_its_own_kind,
        three_in_a_row,
    ],
)  # fmt: skip
@pytest.mark.parametrize("time", ["first", "again"])
def test_the_text_is_that_of_the_standard_library(fails, time):
    with pytest.raises(Exception) as caught:  # noqa: PT011 any
        fails()
    assert TEXT(caught.value) == "".join(traceback.format_exception(caught.value)), time


def test_the_text_of_a_long_chain_is_made_of_each_exception_once():
    """A retry that raises anew each time: the cost of a thousand is a thousand times that of one, not its square."""
    error = None
    for number in range(300):
        try:
            raise ValueError(number) from (error if number % 2 else None)
        except ValueError as raised:
            raised.__context__, error = error, raised
            raised.__suppress_context__ = bool(number % 2)
    made = []
    sys.setprofile(lambda frame, event, _: event == "call" and made.append(frame.f_code))
    try:
        text = TEXT.quick(error)
    finally:
        sys.setprofile(None)
    assert text == "".join(traceback.format_exception(error))
    assert text.count("\nValueError: ") == 300
    assert made.count(traceback.TracebackException.__init__.__code__) == 300


def test_equal_code_of_two_files_is_told_apart():
    for name in ("one.py", "other.py"):
        functions = {}
        exec(compile("def f():\n    raise ValueError\n", name, "exec"), functions)
        with pytest.raises(ValueError) as caught:  # noqa: PT011 any
            functions["f"]()
        assert TEXT(caught.value) == "".join(traceback.format_exception(caught.value))


@pytest.fixture
def log(monkeypatch):
    """Log an exception as an app does, with what slotel puts into logging; return the line."""
    monkeypatch.setattr(logging.Formatter, "formatException", logging.Formatter.formatException)
    asked = []

    def written(fails, formatter=None, error=None, text=TEXT.quick):
        assert write_log_records_by(lambda error: asked.append(error) or text(error))
        out = io.StringIO()
        logger = logging.Logger("of a test")  # noqa: LOG001 gone with the test
        handler = logging.StreamHandler(out)
        handler.setFormatter(formatter or logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        try:
            fails()
        except Exception as raised:
            logger.exception("failed", exc_info=error or raised)
            return out.getvalue(), "".join(traceback.format_exception(raised)), len(asked)
        raise AssertionError("it does not fail")

    return written


@pytest.mark.parametrize("fails", [plain, while_handling, misspelt_name, a_group, deep, not_code])
def test_a_logged_exception_is_written_as_logging_writes_it(log, fails):
    line, expected, asked = log(fails)
    assert (line, asked) == (f"failed\n{expected}", 1)


def test_what_a_formatter_or_an_app_does_of_its_own_stays(log, monkeypatch):
    class Short(logging.Formatter):
        def formatException(self, ei):  # noqa: N802 logging's name
            return f"SHORT {super().formatException(ei)[-3:]}"

    assert log(plain, Short())[0].endswith("SHORT nes\n")
    assert log(plain, error=(None, None, None))[0] == "failed\nNoneType: None\n"
    monkeypatch.setattr(sys, "tracebacklimit", 0, raising=False)
    assert log(plain)[0] == "failed\nValueError: two\nlines\n"
    monkeypatch.delattr(sys, "tracebacklimit")

    def own(*given, **named):  # Python 3.13's logging names the file
        (named.get("file") or given[4]).write("OWN")

    monkeypatch.setattr(traceback, "print_exception", own)
    assert log(plain)[0] == "failed\nOWN\n"


def test_a_fault_of_our_own_changes_no_line(log):
    line, expected, _ = log(plain, text=lambda _: 1 / 0)
    assert line == f"failed\n{expected}"


def test_an_exception_that_was_never_raised_has_a_text_too():
    assert TEXT(ValueError("x")) == "ValueError: x\n"


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("slotel.runtime.upstream.exception_text._MAX_FRAMES", 3)
    text = ExceptionText()
    for fails in (plain, within_an_expression, deep, plain):
        with pytest.raises(Exception) as caught:  # noqa: PT011 any
            fails()
        assert text(caught.value) == "".join(traceback.format_exception(caught.value))
        assert len(text._frames) <= 3
