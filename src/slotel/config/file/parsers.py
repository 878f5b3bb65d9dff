"""Parsers of an objective's values, with their bounds, for every file format and the environment."""

from __future__ import annotations

import re
from typing import Final

from slotel.config.duration import parse_duration
from slotel.config.slo import DAY, HOUR, MINUTE

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def parse_window(value: object) -> float:
    """Return seconds of a window that a limit is compared over.

    Raises:
        ValueError: no duration, or not from 1m to 3d: a process and the rules keep no longer history.
    """
    seconds = parse_duration(value)
    if not MINUTE <= seconds <= 3 * DAY:
        raise ValueError(f"{value!r}: a window is between 1m and 3d")
    return seconds


def parse_slice_length(value: object) -> float:
    """Return seconds of a time slice.

    Raises:
        ValueError: no duration, or not from 1m (in which Prometheus has two scrapes) to 1h in whole seconds.
    """
    seconds = parse_duration(value)
    if not MINUTE <= seconds <= HOUR or seconds % 1:
        raise ValueError(f"{value!r}: a time slice is between 1m and 1h long, in whole seconds")
    return seconds


def parse_scrape_interval(value: object) -> float:
    """Return seconds between two scrapes.

    Raises:
        ValueError: no duration, or not from 1s to 15m: the longest short window is an hour, which holds four.
    """
    seconds = parse_duration(value)
    if not 1 <= seconds <= HOUR / 4:
        raise ValueError(f"{value!r}: a scrape interval is between 1s and 15m")
    return seconds


def parse_name(text: str) -> str:
    """Return the name of an objective.

    Raises:
        ValueError: it would be no good as part of labels, rules and addresses.
    """
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{text!r}: a name has letters, digits, '_', '.', '-', starts with a letter or digit, at most 63"
        )
    return text
