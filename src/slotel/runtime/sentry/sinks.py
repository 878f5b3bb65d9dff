"""Chooses the way of spans to Sentry by `sentry.mode`, and another one when that cannot work. Wires, does nothing."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource

from slotel.model.service import SentrySettings
from slotel.runtime.sentry.parts import Dropped, Enforcing, SentryClientLike
from slotel.runtime.sentry.sdk import sdk_sink
from slotel.runtime.stage import Sink


def sentry_sink(
    settings: SentrySettings,
    *,
    client: SentryClientLike,
    enforcer: Enforcing,
    resource: Resource,
    dropped: Dropped,
) -> Sink:
    """Return the sink that ships spans to Sentry.

    Args:
        client: where to, and the user's hooks; its `dsn` is the destination.
        dropped: called with (signal, reason, count) for each loss.

    Raises:
        ModeError: the mode cannot work with what is installed.
    """
    del settings, resource, dropped  # one mode so far
    return sdk_sink(client, enforcer)
