"""Chooses the way of spans to Sentry by `sentry.mode`, and another one when that cannot work. Wires, does nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from opentelemetry.sdk.resources import Resource

from slotel.config.service import SentrySettings
from slotel.runtime.sentry.client.protocols import Dropped, EnforcerLike, ModeError, SentryClientLike
from slotel.runtime.sentry.modes.sdk import sdk_sink
from slotel.runtime.tracing.sink import Sink

LOG: Final = logging.getLogger("slotel")
FALLBACK: Final = "transactions"
"""The mode that works with every sentry-sdk that slotel works with."""


def sentry_sink(
    settings: SentrySettings,
    *,
    client: SentryClientLike,
    enforcer: EnforcerLike,
    resource: Resource,
    dropped: Dropped,
) -> Sink:
    """Return the sink that sends spans to Sentry in the mode of the settings.

    A mode that cannot work with what is installed says so in one log line, and `transactions` takes its place.

    Args:
        client: where to, and the user's hooks; its `dsn` is the destination.
        dropped: called with (signal, reason, count) for each loss.
    """

    def transactions() -> Sink:
        from slotel.runtime.sentry.transactions.sink import transactions_sink

        return transactions_sink(
            settings, client=client, enforcer=enforcer, resource=resource, dropped=dropped
        )

    def otlp() -> Sink:
        from slotel.runtime.sentry.modes.otlp import otlp_sink

        return otlp_sink(settings, client=client, enforcer=enforcer, resource=resource, dropped=dropped)

    modes: dict[str, Callable[[], Sink]] = {
        "transactions": transactions,
        "sdk": lambda: sdk_sink(client, enforcer),
        "otlp": otlp,
    }
    try:
        return modes[settings.mode]()
    except ModeError as error:
        LOG.error(  # noqa: TRY400 one line
            "sentry.mode %s cannot be used: %s (using %s, which respects sentry.keep)",
            settings.mode,
            error,
            FALLBACK,
        )
        return modes[FALLBACK]()
