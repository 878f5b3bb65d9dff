"""A pattern that is compiled at its first use is the one that `re.compile` would have made."""

import pkgutil
import re
from importlib import import_module

import pytest

import slotel.runtime.redaction as package
from slotel.config.patterns import lazy_pattern
from slotel.config.redaction import VALUE_NAMES
from slotel.runtime.redaction.values import Values

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
