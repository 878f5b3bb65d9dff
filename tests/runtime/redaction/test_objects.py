"""Whatever object stands under the name of a secret: its `repr` in a text shows nothing of it, and hides nothing else."""

import functools
import uuid
from collections import OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from http.cookies import SimpleCookie
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from requests.auth import HTTPBasicAuth
from werkzeug.datastructures import Headers, ImmutableMultiDict

from slotel.runtime.redaction.redactor import Redactor

SECRET = "5EC2E7f1a9"
NUMBER = "4917329458"
REDACTOR = Redactor()


class Plain:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return f"<Plain of {self.text}>"


class Called(Plain):
    def __repr__(self):
        return f"Called({self.text!r}, n=1)"


class Nested(Plain):
    def __repr__(self):
        return f"<Nested <Plain [{self.text}]> at {self.text}>"


class Colour(Enum):
    RED = SECRET


class Model(BaseModel):
    value: str
    more: list[str]


@dataclass
class Local:
    value: str


class Pair(NamedTuple):
    one: str
    two: str


OBJECTS = (
    Plain(SECRET), Called(SECRET), Nested(SECRET), Colour.RED, Model(value=SECRET, more=[SECRET]), Local(SECRET), Pair("a", SECRET),
    SimpleNamespace(a=SECRET), uuid.UUID(f"{SECRET.replace('E', 'e'):0>32.32}".lower()), Decimal(NUMBER), Fraction(int(NUMBER), 7), bytearray(SECRET.encode()), PurePosixPath(f"/{SECRET}"),
    OrderedDict(a=SECRET), UserDict(a=SECRET), defaultdict(str, a=SECRET), deque([SECRET]), frozenset([SECRET]), {SECRET}, MappingProxyType({"a": SECRET}),
    ValueError(SECRET), functools.partial(print, SECRET), HTTPBasicAuth("bob", SECRET), Headers({"a": SECRET}), ImmutableMultiDict([("a", SECRET)]),
    SimpleCookie(f"a={SECRET}"), SimpleCookie(f"a={SECRET}")["a"], [Called(SECRET)], (Called(SECRET), SECRET), {"a": Plain(SECRET)}, range(int(NUMBER)), slice(SECRET), int(NUMBER),
)  # fmt: skip
SHOWN = (SECRET, SECRET.lower(), NUMBER)
VISIBLE = "the other one"


def written(key, value):
    """The texts in which such an object is met."""
    yield repr({key: value, "other": VISIBLE})
    yield repr([{"first": 1, key: value}, VISIBLE])
    yield repr([(key, value), ("other", VISIBLE)])
    yield f"call failed: kwargs={ {key: value, 'other': VISIBLE} }"  # fmt: skip
    yield f"{SimpleNamespace(**{key: value}, other=VISIBLE)}"


@pytest.mark.parametrize("key", ["password", "accessToken"])
@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_nothing_is_shown_of_an_object_under_the_name_of_a_secret(key, value):
    for text in written(key, value):
        shown = REDACTOR.text(text)
        if isinstance(value, int) and text.startswith("[("):
            continue  # a pair of a name and a number is anything
        assert not any(each in shown for each in SHOWN), (text, shown)
        assert VISIBLE in shown, (text, shown)
        assert REDACTOR.text(shown) == shown


@pytest.mark.parametrize("length", [3, 30, 300])
def test_nothing_is_shown_of_an_object_of_any_length(length):
    for value in (
        Local(Local([functools.partial(print, SECRET)] * length)),
        Called([Plain(SECRET)] * length),
    ):
        for text in written("api_key", value):
            shown = REDACTOR.text(text)
            assert SECRET not in shown, (text, shown)


def test_a_call_that_goes_on_in_another_line_hides_its_own():
    text = 'password = hash_password(\n  File "x.py", line 3, in f\n    return g(a)'
    assert REDACTOR.text(text) == 'password = [Filtered]\n  File "x.py", line 3, in f\n    return g(a)'


@given(
    st.recursive(
        st.sampled_from(OBJECTS[:-1]),
        lambda inner: st.lists(inner, max_size=3) | st.builds(Local, inner) | st.builds(Called, inner),
        max_leaves=4,
    )
)
def test_nothing_is_shown_however_such_objects_are_nested(value):
    for text in written("api_key", value):
        shown = REDACTOR.text(text)
        assert not any(each in shown for each in SHOWN), (text, shown)


def test_what_pydantic_has_hidden_stays_hidden_and_what_it_wraps_stays():
    text = repr({"name": "bob", "token": SecretStr(SECRET), "n": 1})
    assert REDACTOR.text(text) == "{'name': 'bob', 'token': '[Filtered]', 'n': 1}"
