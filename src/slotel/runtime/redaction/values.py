"""Recognises secrets by their form: tokens of known services, keys, numbers with a checksum. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.config.redaction.values import CARD, DEFAULT_VALUES, IBAN, shapes

_SHORTEST: Final = 13
"""Characters of the shortest value with a shape: an old card number."""
_SHORTEST_ADDRESS: Final = 6
"""Characters of the shortest address of mail: `a@b.de`."""
_LONG: Final = re.compile(r"\b[\w-]{15}", re.ASCII)
"""Most shapes contain 15 word characters or dashes in a row."""
_WITHOUT: Final = frozenset((
    "jwt", "pem", "putty", "bearer", "digest", "negotiate", "smtp", "basic", "scheme", "stripe-webhook",
    "slack-webhook", "webhook", "sentry", "grafana", "terraform", "planetscale", "atlassian",
    "azure", "onepassword", "fly", "email",
))  # fmt: skip
"""The shapes that need not."""
_DIGITS: Final = re.compile(r"\b[2-6](?:[ -]?[0-9]){12}", re.ASCII)

_CARDS: Final = lazy_pattern(
    "4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    "|3[47][0-9]{13}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|3(?:0[0-5]|[68][0-9])[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}"
    "|62[0-9]{14,17}"
)
"""Lengths and first digits by network: Visa, Mastercard (two ranges), American Express, Discover, Diners Club, JCB,
UnionPay. Source: ISO/IEC 7812-1 and the networks' published ranges."""


class Values:
    """Redacts values that have the shape of a secret.

    Args:
        chosen: names of `slotel.config.redaction.VALUE_NAMES`.
    """

    def __init__(self, chosen: Sequence[str] = DEFAULT_VALUES) -> None:
        wanted = [(each.name, each.hint, lazy_pattern(each.pattern, re.ASCII)) for each in shapes(chosen)]
        self._long = [each for each in wanted if each[0] not in _WITHOUT]
        self._others = [each for each in wanted if each[0] in _WITHOUT]
        self._shortest = _SHORTEST_ADDRESS if "email" in chosen else _SHORTEST
        self._card = lazy_pattern(CARD) if "card" in chosen else None
        self._iban = lazy_pattern(IBAN) if "iban" in chosen else None

    def __call__(self, text: str, found: Callable[[str], None]) -> str:
        """Return the text without the values that have a shape; `found` is called with the shape's name for each."""
        if len(text) < self._shortest:
            return text
        if _LONG.search(text) is not None:
            for name, hint, pattern in self._long:
                if hint in text:
                    text = _replaced(pattern, text, name, found)
        for name, hint, pattern in self._others:
            if hint in text:
                text = _replaced(pattern, text, name, found)
        if self._card is not None and _DIGITS.search(text) is not None:
            text = self._card.sub(lambda number: _checked(number, "card", is_card, found), text)
        if self._iban is not None:
            text = self._iban.sub(lambda number: _checked(number, "iban", is_iban, found), text)
        return text


def is_card(number: str) -> bool:
    """Return whether a number is one of a payment card: by its network's digits and length, and its checksum (Luhn).

    >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112")
    (True, False)
    """
    digits = number.replace(" ", "").replace("-", "")
    if _CARDS.fullmatch(digits) is None:
        return False
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 the sum of its digits
    return total % 10 == 0


def is_iban(number: str) -> bool:
    """Return whether a text is an IBAN, by its checksum (modulo 97).

    >>> is_iban("GB82 WEST 1234 5698 7654 32"), is_iban("GB83 WEST 1234 5698 7654 32")
    (True, False)
    """
    text = number.replace(" ", "")
    rotated = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in rotated)) % 97 == 1


def _replaced(pattern: re.Pattern[str], text: str, name: str, found: Callable[[str], None]) -> str:
    text, count = pattern.subn(REDACTED, text)
    if count:
        found(name)
    return text


def _checked(
    number: re.Match[str], name: str, test: Callable[[str], bool], found: Callable[[str], None]
) -> str:
    if not test(number[0]):
        return number[0]
    found(name)
    return REDACTED
