"""slotel's own log lines: seen on a bare start, and left to the app's logging as soon as it has one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from slotel.config.problem import Problem

LOG: Final = logging.getLogger("slotel")
_SHIPPING: Final = ("opentelemetry.", "sentry_sdk.")
"""Whose handlers ship records instead of showing them: `opentelemetry-bootstrap` installs one on the root logger."""


class _UntilConfigured(logging.StreamHandler):  # type: ignore[type-arg]  # the stream is standard error
    """Writes to standard error while the app has set up no logging of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless a root handler will show it."""
        if all(type(handler).__module__.startswith(_SHIPPING) for handler in logging.getLogger().handlers):
            super().emit(record)


def show_logs() -> None:
    """Make slotel's lines visible; a second call does nothing."""
    if LOG.level == logging.NOTSET:
        LOG.setLevel(logging.INFO)
    if not any(isinstance(handler, _UntilConfigured) for handler in LOG.handlers):
        handler = _UntilConfigured()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        LOG.addHandler(handler)


def report(problems: Iterable[Problem]) -> None:
    """Write one ERROR line for each problem."""
    for problem in problems:
        LOG.error("%s", problem)
