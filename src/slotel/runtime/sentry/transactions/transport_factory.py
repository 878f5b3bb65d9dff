"""Makes the builder and the sender of transactions for a Sentry client."""

from __future__ import annotations

from slotel.config.service import SentrySettings
from slotel.runtime.sentry.protocols import (
    Dropped,
    EnforcerLike,
    ModeError,
    SentryClientLike,
)
from slotel.runtime.sentry.transactions.assembly import Assembly
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transport.app_transport import AppTransport, SendsTransactions, WithSpotlight
from slotel.runtime.sentry.transport.client_transport import sender_of
from slotel.runtime.sentry.transport.endpoint import Endpoint
from slotel.runtime.sentry.transport.sender import Sender
from slotel.runtime.upstream.sentry.client import takes_envelopes


class TransportFactory:
    """Makes them for each client in turn: slotel's own, and that of an app that calls `sentry_sdk.init` later."""

    def __init__(
        self, settings: SentrySettings, enforcer: EnforcerLike, keeper: KeepPolicy, dropped: Dropped
    ) -> None:
        self._settings = settings
        self._enforcer = enforcer
        self._keeper = keeper
        self._dropped = dropped

    def for_client(self, client: SentryClientLike) -> tuple[Assembly, SendsTransactions]:
        """Return the builder and the sender for this client's DSN, options and hooks.

        Errors and transactions go through one sender. A transport object of the app gets both; a transport function
        gets only errors, as from sentry-sdk. Spotlight, if the client has it, gets both.

        Raises:
            ModeError: it has no DSN.
        """
        if not client.dsn:
            raise ModeError("there is no DSN")
        sender: SendsTransactions
        own = sender_of(client.transport)
        if own is not None:
            endpoint, sender = own.endpoint, own
        else:
            endpoint = Endpoint(client.dsn, client.options)
            sender = (
                AppTransport(client.transport, self._dropped)
                if takes_envelopes(client.transport)
                else Sender(endpoint, self._dropped)
            )
        spotlight = getattr(client, "spotlight", None)
        if spotlight is not None:
            sender = WithSpotlight(sender, spotlight, self._dropped)
        assembly = Assembly(
            client=client,
            enforcer=self._enforcer,
            endpoint=endpoint,
            keeper=self._keeper,
            sample_rate=None
            if self._settings.sample
            else self._settings.traces_sample_rate,  # each route its own
            dropped=self._dropped,
            native_names=self._settings.transaction_names == "native",
        )
        return assembly, sender
