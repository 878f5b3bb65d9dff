"""A problem of the configuration: where it is, what was expected, what is used instead."""

from typing import Final, NamedTuple

INVALID: Final = "SLO101"
_LONGEST: Final = 80


def variable(name: str, value: str) -> str:
    r"""Return a variable of the environment with its value, as a line names it: on one line, and not all of a long one.

    >>> variable("PORT", "a\nb")
    "PORT='a\\nb'"
    """
    return f"{name}={value[:_LONGEST]!r}"


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
    consequence: str = "left out, the rest stands"
    code: str = INVALID

    def __str__(self) -> str:
        return f"{self.place}: {self.expectation} ({self.consequence}) [{self.code}]"
