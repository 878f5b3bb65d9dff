"""Chooses the sink for Sentry by `sentry.mode`; `transactions` is used where another mode cannot work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from opentelemetry.sdk.resources import Resource

from slotel.config.service import SentrySettings
from slotel.runtime.sentry.modes.sdk import sdk_sink
from slotel.runtime.sentry.protocols import Dropped, EnforcerLike, ModeError, SentryClientLike
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

    Where that mode cannot work with what is installed, an error is logged and mode `transactions` is used.

    Args:
        settings: `mode`, and what the sinks read.
        client: of sentry-sdk, with the destination (`dsn`) and the app's hooks.
        enforcer: redacts every span before it is exported.
        resource: of the process.
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
