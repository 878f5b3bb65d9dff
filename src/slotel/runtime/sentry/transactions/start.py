"""Starts mode `transactions`: makes the sink, its worker, and for each Sentry client a builder and a sender."""

from __future__ import annotations

from slotel.config.service import SentrySettings
from slotel.runtime.process.shutdown import flush_time
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.sentry.flushing import flush_first
from slotel.runtime.sentry.protocols import Dropped, ModeError, SentryClientLike
from slotel.runtime.sentry.transactions.assembly import Assembly
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transactions.sink import TransactionsSink
from slotel.runtime.sentry.transactions.worker import Worker
from slotel.runtime.sentry.transport.app_transport import AppTransport, TransactionSender, WithSpotlight
from slotel.runtime.sentry.transport.client_transport import sender_of
from slotel.runtime.sentry.transport.endpoint import Endpoint
from slotel.runtime.sentry.transport.sender import Sender
from slotel.runtime.upstream.sentry.client import takes_envelopes


def transactions_sink(
    settings: SentrySettings, client: SentryClientLike, enforcer: Enforcer, dropped: Dropped
) -> TransactionsSink:
    """Return the sink that builds transactions itself.

    Raises:
        ModeError: there is no DSN.
    """
    keeper = KeepPolicy(settings.keep, settings.keep_per_minute)
    is_native = settings.transaction_names == "native"

    def make(client: SentryClientLike) -> tuple[Assembly, TransactionSender]:
        """Return the builder and the sender for a client's DSN, options and hooks: slotel's own client or the app's.

        Errors and transactions go through one sender. A transport object of the app gets both; a transport function
        gets only errors, as from sentry-sdk. Spotlight, if the client has it, gets both.
        """
        if not client.dsn:
            raise ModeError("there is no DSN")
        own = sender_of(client.transport)
        endpoint = Endpoint(client.dsn, client.options) if own is None else own.endpoint
        sender: Sender | AppTransport
        if own is not None:
            sender = own
        elif takes_envelopes(client.transport):
            sender = AppTransport(client.transport, dropped)
        else:
            sender = Sender(endpoint, dropped)
        spotlight = getattr(client, "spotlight", None)
        assembly = Assembly(
            client=client,
            enforcer=enforcer,
            endpoint=endpoint,
            keeper=keeper,
            sample_rate=None if settings.sample else settings.traces_sample_rate,  # each route its own
            dropped=sender.lost,
            native_names=is_native,
        )
        return assembly, sender if spotlight is None else WithSpotlight(sender, spotlight, dropped)

    sink = TransactionsSink(
        keeper,
        Worker(*make(client), dropped, late_wait=settings.late_wait),
        dropped,
        flush_time=flush_time(client.options),
        calls_are_roots=settings.roots == "all",
        native_names=is_native,
        make=make,
        client=client,
    )
    flush_first(client, sink.flush)
    return sink
