"""Ratios as people write them: 5%, 0.05, 1/1000, 500ppm, slo:99.9%. Exact until the last step."""

import re
from fractions import Fraction

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_SPELLINGS: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(rf"({_NUMBER})\s*%"), 100),
    (re.compile(rf"({_NUMBER})\s*ppm"), 1_000_000),
    (re.compile(rf"({_NUMBER}(?:[eE][+-]?\d{{1,3}})?)"), 1),  # more would be computed in full
)
_FRACTION = re.compile(r"(\d+)\s*/\s*(\d+)")
_HALF = Fraction(1, 2)
_LEAST = Fraction(1, 10**12)
"""Smallest limit: rates are divided by it, and a smaller one would be lost in a float."""


def parse_ratio(text: object) -> Fraction:
    """Return the exact ratio that `text` spells: `5%`, `0.05`, `1/20`, `50000ppm`.

    Args:
        text: a string, or a number (YAML gives 0.05 as a float; its shortest decimal form is meant).

    Raises:
        ValueError: it is not a ratio. The range is not checked.

    >>> parse_ratio("99.9%")
    Fraction(999, 1000)
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a ratio")  # noqa: TRY004 a wrong value of a document, not of a caller
    written = str(text).strip()
    if fraction := _FRACTION.fullmatch(written):
        if int(fraction[2]) == 0:
            raise ValueError(f"{written!r} divides by zero")
        return Fraction(int(fraction[1]), int(fraction[2]))
    for pattern, scale in _SPELLINGS:
        if match := pattern.fullmatch(written):
            return Fraction(match[1]) / scale
    raise ValueError(f"{written!r} is not a ratio: write it as '5%', '0.05', '1/20' or '500ppm'")


def parse_limit(text: object) -> Fraction:
    """Return the largest tolerated bad ratio, in (0, 1): `5%`, `0.05`, `1/1000`, `500ppm`, `slo:99.9%`.

    Raises:
        ValueError: with the right spelling for what was probably meant.

    >>> parse_limit("slo:99.9%")
    Fraction(1, 1000)
    """
    written = str(text).strip()
    if written.lower().startswith("slo:"):
        return 1 - parse_objective(written[4:])
    limit = parse_ratio(text)
    spelled = bool(re.search(r"[%/]|ppm", written))
    if limit >= 1 and not spelled:
        percent = limit < 100  # noqa: PLR2004 a percentage without its sign
        meant = f"write '{written}%' for a {written} % error limit"
        below = "an error limit is a ratio below 1: write for example '5%' or '0.05'"
        raise ValueError(f"{written!r}: {meant if percent else below}")
    if not 0 < limit < 1:
        raise ValueError(f"{written!r}: an error limit is above 0 and below 100%: write for example '5%'")
    if limit < _LEAST:
        raise ValueError(f"{written!r}: an error limit is at least one in 10^12: write for example '0.001%'")
    if limit > _HALF:  # of half, both mean the same
        raise ValueError(
            f"{written!r} would tolerate {_percent(limit)} errors: for an objective write 'slo:{written}', "
            f"for a limit write for example '{_percent(1 - limit)}'"
        )
    return limit


def parse_objective(text: object) -> Fraction:
    """Return the objective (the least good ratio), in (0, 1), from `99.9%`, `0.999` or `999/1000`.

    Raises:
        ValueError: with the right spelling for what was probably meant.

    >>> parse_objective("99.9%")
    Fraction(999, 1000)
    """
    written = str(text).strip()
    objective = parse_ratio(text)
    if 1 < objective < 100 and "%" not in written:  # noqa: PLR2004 a percentage without its sign
        raise ValueError(f"{written!r}: write '{written}%' for an objective of {written} %")
    if not 0 < objective < 1:
        raise ValueError(
            f"{written!r}: an objective is above 0 and below 100% (100% leaves no budget, "
            "0% needs none): write for example '99.9%'"
        )
    if not _LEAST <= objective <= 1 - _LEAST:
        raise ValueError(
            f"{written!r}: an objective leaves room for one in 10^12: write for example '99.999%'"
        )
    return objective


def shown(number: float, digits: int = 3) -> str:
    """Return a number for people: so many digits, but all those before the point, and never `1e+03`.

    >>> shown(14.44), shown(1046.4), shown(0.0000123), shown(99.95, 10)
    ('14.4', '1,046', '0.0000123', '99.95')
    """
    text = f"{number:.{digits}g}"
    if "e" not in text:
        return text
    return f"{number:,.0f}" if abs(number) >= 1 else f"{float(text):.15f}".rstrip("0").rstrip(".")


def _percent(ratio: Fraction) -> str:
    return f"{float(ratio * 100):.10g}%"
