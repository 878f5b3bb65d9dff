"""The options of commands that ask a Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

LAST_MOMENT: Final = 1e10
"""Seconds since 1970: the year 2286. Milliseconds are beyond it."""

url_option = click.option(
    "--prometheus",
    "url",
    metavar="URL",
    required=True,
    help="Address of Prometheus, or of a store with its HTTP API.",
)
header_option = click.option(
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    help="A header of each request, such as Authorization.",
)


def end_option(flag: str) -> Callable[[Any], Any]:
    """Return the option for the end of the time that is asked for: it gives `moment`, None for now."""
    return click.option(
        flag, "moment", default=None, type=float, metavar="SECONDS", callback=_moment,
        help="End, in seconds since 1970. Default: now.",
    )  # fmt: skip


def _moment(_: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 < value < LAST_MOMENT:
        raise click.BadParameter("give seconds since 1970, such as 1767225600", param=option)
    return value
