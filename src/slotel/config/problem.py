"""A problem of the configuration: where it is, what was expected, what is used instead."""

import re
from typing import Final, NamedTuple

_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
"""Ends of lines, commands of a terminal, and what turns the direction of text around."""
INVALID: Final = "SLO101"
_LONGEST: Final = 80


def variable(name: str, value: str) -> str:
    r"""Return a variable of the environment with its value, as a line names it: on one line, and not all of a long one.

    >>> variable("PORT", "a\nb")
    "PORT='a\\nb'"
    """
    return f"{name}={value[:_LONGEST]!r}"


def one_line(text: str) -> str:
    r"""Return the text as one line that shows all that is in it, and that no terminal obeys.

    >>> one_line("a\nb \x1b[2J")
    'a\\nb \\x1b[2J'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class Problem(NamedTuple):
    """One thing that is wrong with the configuration.

    Args:
        place: `slotel.yaml:12 slos[0].objective`, or `ERROR_BUDGET_LIMIT='5'`.
        expectation: what would be right, with its spelling.
        consequence: what is used instead.
        code: of docs/reference/codes.yaml.
    """

    place: str
    expectation: str
    consequence: str = "ignored; the rest of the file is used"
    code: str = INVALID

    def __str__(self) -> str:
        return f"{self.place}: {self.expectation} ({self.consequence}) [{self.code}]"
