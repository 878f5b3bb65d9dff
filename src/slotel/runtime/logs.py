"""slotel's own log lines: on standard error, until the app configures logging."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from slotel.config.problem import Problem, one_line

LOG: Final = logging.getLogger("slotel")
_SHIPPING: Final = ("opentelemetry.", "sentry_sdk.")
"""Packages whose handlers export records, not show them: `opentelemetry-bootstrap` installs one on the root logger."""
REPEAT_SECONDS: Final = 60.0
_LAUNCHER: Final = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation")
_EXPORTERS: Final = (
    "common.http", "proto.http.trace_exporter", "proto.http.metric_exporter", "proto.http._log_exporter",
    "proto.grpc.exporter",
)  # fmt: skip
_EXPORT_FAILED: Final = ("Transient error ", "Failed to export ")


class _UntilConfigured(logging.Handler):
    """Writes to standard error, as it is at that time, until the app configures logging."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless a root handler will show it. A closed standard error takes nothing."""
        if all(type(handler).__module__.startswith(_SHIPPING) for handler in logging.getLogger().handlers):
            with suppress(AttributeError, OSError, ValueError):
                sys.stderr.write(f"{self.format(record)}\n")
                sys.stderr.flush()


class _Redacted(logging.Filter):
    """Redacts slotel's own lines: a line may quote a value from the environment, or another library's error."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self.redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record and let it pass."""
        try:
            text = record.getMessage()
            clean = one_line(self.redact(text))  # the line may quote a value with line breaks
            if clean != text:
                record.msg, record.args = clean, ()
            if record.exc_info:  # a handler's formatter uses this text, if there is one
                trace = self.redact(logging.Formatter().formatException(record.exc_info))
                record.exc_text = "\n".join(map(one_line, trace.split("\n")))
        except Exception:  # noqa: BLE001 a line that cannot be redacted is not shown
            record.msg, record.args, record.exc_info = "a log line could not be redacted", (), None
        return True


def redact_logs(redact: Callable[[str], str]) -> None:
    """Redact slotel's lines by this function from now on; a later call replaces it."""
    for standing in LOG.filters:
        if isinstance(standing, _Redacted):
            standing.redact = redact
            return
    LOG.addFilter(_Redacted(redact))


class _OncePerMinute(logging.Filter):
    """Replaces an OTLP exporter's lines about retries by one line a minute, with cause and fix."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record about a failed export, which is replaced."""
        text = record.getMessage()
        if not text.startswith(_EXPORT_FAILED):
            return True
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REPEAT_SECONDS
            LOG.warning(
                "the OTLP exporter cannot deliver: %s: check the collector and OTEL_EXPORTER_OTLP_ENDPOINT "
                "(it tries again; further failures are logged once a minute) [SLO126]",
                " ".join(text.split())[:300],
            )
        return False


class _KeptLogger(logging.Logger):
    """A logger that `dictConfig` and `fileConfig` leave enabled.

    By default they disable every logger that they do not name, and the application would not learn of losses and
    breaches. Setting `disabled`, or naming the logger in the configuration, still works.
    """

    @property
    def disabled(self) -> bool:
        """Whether no record is handled."""
        return bool(self.__dict__.get("disabled", False))

    @disabled.setter
    def disabled(self, value: bool) -> None:
        caller = inspect.currentframe().f_back  # type: ignore[union-attr]
        if not (value and caller is not None and caller.f_globals.get("__name__") == "logging.config"):
            self.__dict__["disabled"] = value


def _keep_enabled(logger: logging.Logger) -> None:
    if type(logger) is logging.Logger:  # a class that the application set stays
        logger.__class__ = _KeptLogger


_keep_enabled(LOG)


def is_debugging(environ: Mapping[str, str]) -> bool:
    """Return whether SLOTEL_DEBUG is set: each decision is logged."""
    return environ.get("SLOTEL_DEBUG", "").strip().lower() in ("1", "true")


def show_logs() -> None:
    """Make slotel's lines visible; a second call does nothing."""
    debugging = is_debugging(os.environ)
    if LOG.level == logging.NOTSET:
        LOG.setLevel(logging.DEBUG if debugging else logging.INFO)
    if any(isinstance(handler, _UntilConfigured) for handler in LOG.handlers):
        return
    handler = _UntilConfigured()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    LOG.addHandler(handler)
    if debugging:  # `opentelemetry-instrument` says there which instrumentations it skips, and why
        _LAUNCHER.setLevel(logging.DEBUG)
        _LAUNCHER.addHandler(handler)
    once = _OncePerMinute()
    for name in _EXPORTERS:
        exporter = logging.getLogger(f"opentelemetry.exporter.otlp.{name}")
        exporter.addFilter(once)
        _keep_enabled(exporter)


def report(problems: Iterable[Problem]) -> None:
    """Write one ERROR line for each problem."""
    for problem in problems:
        LOG.error("%s", problem)


def printable(value: object) -> str:
    """Return a value's text, also of one whose `__str__` fails.

    >>> printable(type("Odd", (), {"__str__": lambda self: 1 / 0})())
    '<unprintable Odd>'
    """
    try:
        return str(value)
    except Exception:  # noqa: BLE001 whatever the app's method raises
        return f"<unprintable {type(value).__name__}>"


def exact_text(value: object) -> str:
    """Return a text that is a `str` itself: the methods of a class that the app derived from it may raise.

    >>> type(exact_text(type("Odd", (str,), {"__len__": lambda self: 1 / 0})("x")))
    <class 'str'>
    """
    return str.__str__(value if isinstance(value, str) else printable(value))
