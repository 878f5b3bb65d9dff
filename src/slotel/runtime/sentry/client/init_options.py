"""The options of `sentry_sdk.init`, slotel's and the app's: which integrations, and what of the app's has no effect."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sentry_sdk.integrations.argv import ArgvIntegration
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration

from slotel.runtime.sentry.errors.frameworks import framework_integrations

TRACING: Final = ("traces_sample_rate", "traces_sampler", "enable_tracing", "trace_lifecycle")
"""Options that would make sentry-sdk trace in addition to OpenTelemetry."""
_QUEUE_SIZE: Final = 100
"""Source: sentry-sdk, `DEFAULT_QUEUE_SIZE`."""


def integrations() -> list[Any]:
    """Return the integrations of slotel's own client: for errors of the process, the log and the frameworks."""
    return [
        ArgvIntegration(),
        AtexitIntegration(callback=lambda _pending, _timeout: None),  # prints nothing at an exit
        ExcepthookIntegration(),
        ThreadingIntegration(),
        *framework_integrations(),
    ]


def is_for_spotlight_alone(positional: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Whether a call of `init` sends nothing but what Spotlight shows: without a DSN slotel makes no transactions."""
    wanted = options.get("spotlight")
    has_dsn = any((*positional, options.get("dsn"), os.environ.get("SENTRY_DSN")))
    return not has_dsn and bool(os.environ.get("SENTRY_SPOTLIGHT") if wanted is None else wanted)


@contextmanager
def without_django() -> Iterator[None]:
    """Keep sentry-sdk from importing Django for its development tool, Spotlight, and for one exception.

    Only where Django is not loaded yet and Spotlight is not asked for. An app that uses Django loads it itself.
    """
    if "django" in sys.modules or os.environ.get("SENTRY_SPOTLIGHT"):
        yield
        return
    sys.modules["django"] = None  # type: ignore[assignment]  # what the import system takes for "there is none"
    try:
        yield
    finally:
        sys.modules.pop("django", None)


def merged(own: Mapping[str, Any], options: Mapping[str, Any], off: Iterable[str]) -> dict[str, Any]:
    """Return the options of the app's `init`, with slotel's as defaults and without those of tracing.

    The app's integrations are completed by those of frameworks, and sentry-sdk's `DedupeIntegration` is turned off.

    Args:
        off: identifiers of integrations that the app turns off.
    """
    given, disabled = options.get("integrations") or [], options.get("disabled_integrations") or []
    made = {**own, **{name: value for name, value in options.items() if name not in TRACING}}
    made.update({name: value for name, value in own.items() if made[name] is None})  # as if not given
    made["integrations"] = [*given, *framework_integrations((*(each.identifier for each in given), *off))]
    has_dedupe = any(isinstance(each, DedupeIntegration) for each in given)
    made["disabled_integrations"] = [*disabled, *(() if has_dedupe else (DedupeIntegration,))]
    return made


def said_of_tracing(options: Any, *, profiles: bool) -> str:
    """Return which options of the app's client have no effect, and what replaces them.

    Args:
        profiles: the mode makes transactions that can be profiled.
    """
    said = []
    rate = options.get("traces_sample_rate")
    if rate is not None:
        said.append(f"its traces_sample_rate is not used: set SENTRY_TRACES_SAMPLE_RATE={rate}")
    elif options.get("traces_sampler"):
        said.append("its traces_sampler is not used: set OTEL_TRACES_SAMPLER")
    if not profiles and (options.get("profiles_sample_rate") or options.get("profiles_sampler")):
        said.append(
            "its profiles_sample_rate is not used: set profile_session_sample_rate for continuous profiles"
        )
    experiments = options.get("_experiments") or {}
    if "stream" in (options.get("trace_lifecycle"), experiments.get("trace_lifecycle")):
        said.append(
            "its trace_lifecycle='stream', before_send_span and ignore_spans are not used: spans leave as "
            "transactions, see spans.drop and tags.redact"
        )
    if not profiles and options.get("profile_lifecycle") == "trace":
        said.append("profile_lifecycle='trace' needs transactions: set 'manual'")
    if options.get("transport_queue_size") not in (None, _QUEUE_SIZE):
        said.append("its transport_queue_size is not used: the sender has bounds of its own")
    return f" ({'; '.join(said)})" if said else ""
