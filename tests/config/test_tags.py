"""The tag policy."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config.tags import TagRule, clean_value, judge, label_name, sentry_tag_key


@pytest.mark.parametrize(
    ("rule", "value", "judged"),
    [
        (TagRule(), "a", ("a", None)),
        (TagRule(), None, ("unknown", "unknown")),
        (TagRule(), "", ("unknown", "unknown")),
        (TagRule(default="d"), None, ("d", "default")),
        (TagRule(allowed=("a",)), "b", ("unknown", "unknown")),
        (TagRule(default="d", allowed=("a",)), "b", ("d", "default")),
        (TagRule(pattern="[a-z]+"), "abc", ("abc", None)),
        (TagRule(pattern="[a-z]+"), "abc1", ("unknown", "unknown")),
        (TagRule(), True, ("true", None)),
        (TagRule(), 7, ("7", None)),
        (TagRule(), "x" * 300, ("x" * 200, "truncate")),
        (TagRule(), "a\nb", ("a b", None)),
    ],
)
def test_a_required_tag_is_let_through_or_repaired(rule, value, judged):
    assert judge(rule, value) == judged


@given(st.text())
def test_a_cleaned_value_is_one_short_line(text):
    value, _ = clean_value(text)
    assert len(value) <= 200
    assert not set(value) & set("\r\n\0")


@given(st.text(min_size=1))
def test_a_sentry_tag_key_is_one_that_sentry_accepts(key):
    made = sentry_tag_key(key)
    assert made is None or re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", made)


@given(st.text(min_size=1))
def test_a_label_name_is_one_that_prometheus_accepts(key):
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label_name(key))
