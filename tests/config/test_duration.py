"""Durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("300ms", 0.3), ("5m", 300), ("1h30m", 5400), ("30d", 2_592_000), ("1.5h", 5400), ("1w", 604_800)],
)
def test_a_duration_is_its_seconds(written, seconds):
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["300", "", "5 minutes", "-1h", "0s", "1M", "1H", None])
def test_what_is_no_duration_is_refused_with_a_spelling_or_a_reason(written):
    """`1M` is a month to OpenSLO: it must not pass for a minute."""
    with pytest.raises(ValueError, match=r"write it as|longer than 0"):
        parse_duration(written)


@given(st.integers(1, 10**7))
def test_whole_seconds_survive_being_written_and_read(seconds):
    assert parse_duration(format_duration(seconds)) == seconds
