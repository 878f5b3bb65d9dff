"""Chooses the sink for Sentry by `sentry.mode`; `transactions` is used where another mode cannot work."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource

from slotel.config.service import SentrySettings
from slotel.runtime.logs import LOG
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.sentry.modes.sdk import sdk_sink
from slotel.runtime.sentry.protocols import Dropped, ModeError, SentryClientLike
from slotel.runtime.tracing.sink import Sink


def sentry_sink(
    settings: SentrySettings,
    *,
    client: SentryClientLike,
    enforcer: Enforcer,
    resource: Resource,
    dropped: Dropped,
) -> Sink:
    """Return the sink that sends spans to Sentry in the mode of the settings.

    Where that mode cannot work with what is installed, an error is logged and mode `transactions` is used.

    Args:
        client: of sentry-sdk, with the destination (`dsn`) and the app's hooks.
        enforcer: redacts every span before it is exported.
        dropped: called with (signal, reason, count) for each loss.

    Raises:
        ModeError: the client has no DSN.
    """
    try:
        if settings.mode == "sdk":
            return sdk_sink(client, enforcer)
        if settings.mode == "otlp":
            from slotel.runtime.sentry.modes.otlp import OtlpSink

            return OtlpSink(settings, client, enforcer, resource, dropped)
    except ModeError as error:
        LOG.error(
            "sentry.mode %s cannot be used: %s (using transactions, which respects sentry.keep)",
            settings.mode,
            error,
        )
    from slotel.runtime.sentry.transactions.start import transactions_sink

    return transactions_sink(settings, client, enforcer, dropped)
