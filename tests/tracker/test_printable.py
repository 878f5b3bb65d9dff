"""Nothing of the code API raises into the app, whatever it is given."""

import pytest

from slotel import ErrorTracker, set_custom_tags
from slotel.runtime.logs import printable


class Unprintable:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class UnprintableError(Exception):
    __str__ = __repr__ = Unprintable.__str__


class UnprintableText(str):
    __slots__ = ()
    __str__ = __repr__ = Unprintable.__str__


@pytest.mark.parametrize("value", [Unprintable(), UnprintableError(), UnprintableText("x"), [Unprintable()]])
def test_a_value_whose_str_fails_is_said_to_be_unprintable(value):
    assert printable(value).startswith("<unprintable ")
    set_custom_tags(odd=value)
    ErrorTracker().set_custom_tags(odd=value)


@pytest.mark.parametrize("value", [Unprintable(), UnprintableText("x")])
def test_capturing_raises_nothing(value):
    tracker = ErrorTracker({"OTEL_SDK_DISABLED": "true"})
    tracker.capture_message(value, odd=value)
    tracker.capture_exception(UnprintableError("x"), odd=value)
    tracker.set_user(id=value)
    tracker.set_user(value)
