"""What builds and what sends the transactions of one Sentry client. Moves nothing itself."""

from __future__ import annotations

from slotel.config.service import SentrySettings
from slotel.runtime.sentry.client.protocols import Dropped, Enforcing, ModeError, SentryClientLike
from slotel.runtime.sentry.transactions.assembly import Assembly
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transport.client_transport import sender_of
from slotel.runtime.sentry.transport.endpoint import Endpoint
from slotel.runtime.sentry.transport.sender import Sender


class TransportFactory:
    """Makes them for each client in turn: slotel's own, and that of an app that calls `sentry_sdk.init` later."""

    def __init__(
        self, settings: SentrySettings, enforcer: Enforcing, keeper: KeepPolicy, dropped: Dropped
    ) -> None:
        self._settings = settings
        self._enforcer = enforcer
        self._keeper = keeper
        self._dropped = dropped

    def for_client(self, client: SentryClientLike) -> tuple[Assembly, Sender]:
        """Return what builds and what sends by this client's DSN, options and hooks.

        Errors and transactions go by one sender, unless the client has a transport of the app's own.

        Raises:
            ModeError: it has no DSN.
        """
        if not client.dsn:
            raise ModeError("there is no DSN")
        sender = sender_of(client.transport)
        if sender is None:
            sender = Sender(Endpoint(client.dsn, client.options), self._dropped)
        assembly = Assembly(
            client=client,
            enforcer=self._enforcer,
            endpoint=sender.endpoint,
            keeper=self._keeper,
            sample_rate=None
            if self._settings.sample
            else self._settings.traces_sample_rate,  # each route its own
            dropped=self._dropped,
            native_names=self._settings.transaction_names == "native",
        )
        return assembly, sender
