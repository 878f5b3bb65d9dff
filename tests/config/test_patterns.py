"""A pattern that is compiled at its first use is the one that `re.compile` would have made; one with stars backtracks nowhere."""

import pkgutil
import re
import time
from importlib import import_module

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import slotel.runtime.redaction as package
from slotel.config.patterns import lazy_pattern
from slotel.config.redaction.keys import own_test
from slotel.config.redaction.values import VALUE_NAMES
from slotel.config.sampling import SpanMatch, route_pattern
from slotel.runtime.redaction.values import Values
from slotel.runtime.tracing.route_rules import RouteRules

KIND = type(lazy_pattern(""))


def test_each_of_the_redaction_can_be_compiled():
    modules = [
        import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
    ]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, KIND)]
    assert len(found) > 40
    for each in found:
        each.search("")
    text = "eyJhbGciOiJI.x PRIVATE KEY earer igest egotiate AUTH asic 4111111111111111 " * 2
    Values(VALUE_NAMES)(text, lambda _: None)


@pytest.mark.parametrize("method", ["finditer", "fullmatch", "match", "search", "sub", "subn"])
def test_it_has_the_methods_of_a_pattern(method):
    arguments = ("-",) if method.startswith("sub") else ()
    flags = re.IGNORECASE | re.ASCII

    def answer(pattern):
        found = getattr(pattern, method)(*arguments, "Abba")
        return (
            [each[0] for each in found] if method == "finditer" else getattr(found, "span", lambda: found)()
        )

    lazy = lazy_pattern("[ab]+", flags)
    assert answer(lazy) == answer(lazy) == answer(re.compile("[ab]+", flags))


def test_a_wrong_one_raises_when_it_is_used_and_has_no_other_attribute():
    with pytest.raises(re.error):
        lazy_pattern("(").search("")
    with pytest.raises(AttributeError):
        _ = lazy_pattern("x").nothing


def in_words(route):
    """A route's pattern as it is told: a parameter is one segment, a star is any text."""
    return re.compile(re.sub(r"\\\*", ".*", re.sub(r"\\\{x\\\}", "[^/]+", re.escape(route))), re.DOTALL)


ROUTE = st.lists(st.sampled_from(["/", "/", "a", "b", "*", "{x}", "ab"]), min_size=1, max_size=8).map("".join)


@given(ROUTE, st.lists(st.text("/ab\n", max_size=14), min_size=20, max_size=20))
@example("{x}a*a", ["baba", "bbaa", "baaa"])
def test_a_route_with_stars_matches_what_its_stars_and_parameters_say(route, paths):
    pattern, told = route_pattern(route), in_words(route)
    for path in (
        *paths,
        route,
        route.replace("*", "a/b").replace("{x}", "ab"),
        route.replace("*", "").replace("{x}", "b"),
    ):
        assert bool(pattern.fullmatch(path)) == bool(told.fullmatch(path)), (route, path)


@given(st.text("ab*", min_size=1, max_size=8), st.lists(st.text("ab", max_size=12), min_size=20, max_size=20))
def test_a_name_with_stars_matches_what_its_stars_say(name, names):
    rules, told = RouteRules((), [SpanMatch(name=name)]), re.compile(name.replace("*", ".*"))
    for each in names:
        assert rules.is_dropped(each, {}, is_local_root=False) == bool(told.fullmatch(each)), (name, each)


@pytest.mark.parametrize(
    ("matches", "piece", "length"),
    [
        (route_pattern("/*/a/*/b/*/c").fullmatch, "/a/b", 500),
        (route_pattern("/a/*/{id}/*/b/*/x").fullmatch, "/a//b/", 500),
        (lambda name: RouteRules((), [SpanMatch(name="*a*a*a*b")]).is_dropped(name, {}, is_local_root=False), "a", 500),
        (own_test(["*_*_*_pin"]), "_a", 70),
        (own_test(["*.user.*.pin"]), "user.x.", 70),
    ],
    ids=["route", "parameters", "name", "key", "path"],
)  # fmt: skip
def test_what_a_client_sends_takes_a_time_in_proportion_to_its_length(matches, piece, length):
    def seconds(times):
        text, best = (piece * length)[:length] * times, float("inf")
        for _ in range(5):
            begun = time.thread_time()
            for _ in range(20):
                matches(text)
            best = min(best, time.thread_time() - begun)
        return best

    small, large = seconds(1), seconds(4)
    assert large < 4 * 2.5 * small + 0.02
