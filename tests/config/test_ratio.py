"""Ratios as people write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config.ratio import parse_limit, parse_objective, parse_ratio


@pytest.mark.parametrize("written", ["0.05", "5%", "5 %", "1/20", "50000ppm", 0.05, ".05", "5e-2"])
def test_every_spelling_of_five_percent_is_the_same_exact_ratio(written):
    assert parse_ratio(written) == Fraction(1, 20)


def test_an_objective_written_as_a_limit_gives_its_complement():
    assert parse_limit("slo:99.9%") == Fraction(1, 1000)
    assert parse_limit("50%") == parse_limit("slo:50%") == Fraction(1, 2)


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("5", "write '5%' for a 5 % error limit"),
        ("99.9", "write '99.9%'"),
        ("0", "above 0 and below 100%"),
        ("100%", "above 0 and below 100%"),
        ("1/1", "above 0 and below 100%"),
        ("60%", "write 'slo:60%'"),
        ("99.9%", "a limit write for example '0.1%'"),
        ("abc", "is not a ratio: write it as '5%'"),
        ("nan", "is not a ratio"),
        ("inf", "is not a ratio"),
        ("-5%", "above 0 and below 100%"),
        ("1/0", "divides by zero"),
        ("", "is not a ratio"),
        ("slo:100%", "100% leaves no budget"),
        (True, "is not a ratio"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_with_the_right_spelling(written, advice):
    with pytest.raises(ValueError, match=".") as refused:
        parse_limit(written)
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    ("written", "advice"),
    [("99.9", "write '99.9%'"), ("100%", "leaves no budget"), ("0", "needs none"), ("1", "leaves no")],
)
def test_an_objective_that_cannot_be_meant_is_refused_with_the_right_spelling(written, advice):
    with pytest.raises(ValueError, match=".") as refused:
        parse_objective(written)
    assert advice in str(refused.value)


@given(st.decimals(min_value="0.0001", max_value="49.9999", places=4))
def test_percents_lose_nothing(percent):
    assert parse_limit(f"{percent}%") == Fraction(percent) / 100
