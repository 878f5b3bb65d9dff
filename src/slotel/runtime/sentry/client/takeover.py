"""Keeps one Sentry client for the process, slotel's or the app's own, so that nothing is traced twice.

sentry-sdk has no hook for "the app has called init". So a function runs before `sentry_sdk.init`, and one after
`Scope.set_client`, which also sees an `init` that was imported before slotel started and clients made by hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.scope import register_external_propagation_context

from slotel.runtime.logs import LOG
from slotel.runtime.sentry.client.dsn import Destination, read_dsn
from slotel.runtime.sentry.client.identity import Identity, valid_release
from slotel.runtime.sentry.client.init_options import (
    TRACING,
    integrations,
    is_for_spotlight_alone,
    merged,
    said_of_tracing,
    without_django,
)
from slotel.runtime.sentry.errors.breadcrumbs import leave_out
from slotel.runtime.sentry.errors.capture import repeats
from slotel.runtime.sentry.errors.detail import ErrorDetail
from slotel.runtime.sentry.errors.exception_record import RECORD, unreport
from slotel.runtime.sentry.errors.integrations import LazyIntegrations
from slotel.runtime.sentry.errors.linker import ErrorEventLinker, current_span_ids
from slotel.runtime.sentry.span_api import scope as span_api
from slotel.runtime.sentry.span_api import streamed_spans
from slotel.runtime.sentry.transactions.processors import watch_processors
from slotel.runtime.sentry.transport.client_transport import ClientTransport, sender_of
from slotel.runtime.sentry.transport.completion import EnvelopeCompletion, watch_losses
from slotel.runtime.sentry.transport.endpoint import Endpoint
from slotel.runtime.sentry.transport.modules import add_modules, leave_empty_out
from slotel.runtime.sentry.transport.rate_limits import RateLimits
from slotel.runtime.sentry.transport.sender import Sender
from slotel.runtime.upstream.sentry.client import after_set_client, before_init, put_processor_first
from slotel.runtime.upstream.sentry.events import defer_serializing
from slotel.runtime.upstream.sentry.frames import choose_variables, hide_own_frames, leave_source_lines_out
from slotel.runtime.upstream.sentry.integrations import (
    remember_ignored_loggers,
    skip_log_records,
    trace_django_caches,
)
from slotel.runtime.upstream.sentry.request import import_readers
from slotel.runtime.upstream.sentry.threads import continue_spans_in_threads

if TYPE_CHECKING:
    from slotel.runtime.sentry.client.client import SentryConnection, SentryDependencies


class ClientTakeover:
    """Makes the client, or takes over the app's, and connects the error linker to it."""

    def __init__(
        self, identity: Identity, parts: SentryDependencies, connected: Callable[[SentryConnection], None]
    ) -> None:
        self._identity = identity
        self._parts = parts
        self._connected = connected
        self._limits: dict[str, RateLimits] = {}
        self._connection: SentryConnection | None = None
        self._trail = ErrorEventLinker(
            parts.open_spans,
            parts.tags,
            parts.sampling,
            native_names=parts.native_names,
            holds_calls=parts.holds_calls,
        )
        self._completion = EnvelopeCompletion(parts.redact, parts.redact_headers)
        self._lazy = LazyIntegrations()
        self._is_tied = False
        self._expects = False

    def connect(self, dsn: str) -> SentryConnection:
        """Set up slotel's own client."""
        options = {"default_integrations": False, "integrations": integrations(), **self._options()}
        with without_django(), self._expecting():
            sentry_sdk.init(dsn=dsn, **options)
            import_readers()
        client = sentry_sdk.get_client()
        # what slotel leaves to sentry-sdk it reads from the environment: SENTRY_RELEASE=latest, which Sentry refuses
        client.options["release"] = valid_release(client.options.get("release") or "")
        return self._tie(client)

    def adopt(self, client: Any) -> SentryConnection:
        """Take over a client that the app has set up before slotel started, or without `sentry_sdk.init`."""
        ignored = said_of_tracing(client.options, profiles=self._parts.profiles)
        for name in TRACING:
            if name in client.options:
                client.options[name] = None
        client.options.update(self._parts.options)
        if client.options.get("transport") is None:
            self._trail.replaced(client.transport)  # it may have pending data
            client.transport = self._transport_class()(client.options)
        client.options["before_send"] = self._before_send(client.options)
        LOG.info(
            "the app has called sentry_sdk.init: slotel keeps its client, adds tags and trace ids to its events, and "
            "sends the traces%s. Its framework integrations still wrap every request; start slotel first to avoid "
            "that cost",
            ignored,
        )
        return self._tie(client)

    def watch(self) -> None:
        """Take over each client that the app sets up from now on."""
        before_init(self._app_calls_init)
        after_set_client(self._client_set)

    def _client_set(self, scope: Any, client: Any) -> None:
        if client is None or self._expects:
            return
        if scope is sentry_sdk.get_global_scope():
            self._client_comes(client)
        else:
            self._finishes_events(client)

    def _client_comes(self, client: Any) -> None:
        """Take over a client that was set past the wrapped `init`."""
        known = self._connection
        if not client.is_active() or not client.dsn or (known is not None and known.client is client):
            return
        try:
            if known is not None:
                self._trail.replaced(known.client)
            self._connected(self.adopt(client))
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            LOG.error(
                "cannot follow the app's Sentry client: %s (transactions are still sent to the previous destination)",
                error,
            )

    @contextmanager
    def _expecting(self) -> Iterator[None]:
        """Within this context `init` sets a client with slotel's options, which is not taken over again."""
        self._expects = True
        try:
            yield
        finally:
            self._expects = False

    def _app_calls_init(self, original: Any, *positional: Any, **options: Any) -> Any:
        if positional and isinstance(positional[0], Mapping):  # options may be given as one mapping
            positional, options = positional[1:], {**positional[0], **options}
        if self._connection is None and is_for_spotlight_alone(positional, options):
            return original(*positional, **options)
        given, disabled = options.get("integrations") or [], options.get("disabled_integrations") or []
        self._lazy.wanted = bool(options.get("auto_enabling_integrations", True))
        off = {each.identifier for each in disabled}  # of classes or of instances
        has_defaults = bool(options.get("default_integrations", True))
        if not has_defaults:
            off |= {"logging", "stdlib", "modules"}
        leave_out(off, auto_enabled=has_defaults and self._lazy.wanted)
        wanted = merged(self._options(), options, off)
        wanted["integrations"] += self._lazy.missing(given, disabled)
        wanted["before_send"] = self._before_send(wanted)
        wanted.update(self._parts.options)
        if any(each.identifier == "django" and getattr(each, "cache_spans", False) for each in given):
            trace_django_caches()
        former = sentry_sdk.get_client()
        with self._expecting():
            guard = original(*positional, **wanted)
        client = sentry_sdk.get_client()
        for identifier in off.difference(each.identifier for each in given):
            client.integrations.pop(identifier, None)  # sentry-sdk keeps what an earlier client had set up
        ignored = said_of_tracing(options, profiles=self._parts.profiles)
        try:
            self._app_has_called_init(former, client, ignored)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            LOG.error(
                "cannot follow the app's sentry_sdk.init: %s (transactions are still sent to the previous destination)",
                error,
            )
        return guard

    def _app_has_called_init(self, former: Any, client: Any, ignored: str) -> None:
        if not client.dsn:
            if self._connection is not None:
                LOG.warning(
                    "the app calls sentry_sdk.init without a DSN: errors are no longer sent to Sentry, transactions "
                    "are still sent to %s: to turn off both, unset SENTRY_DSN, or set its DSN in the call",
                    self._connection.destination,
                )
            return
        LOG.info(
            "the app calls sentry_sdk.init: from now on errors and traces go to its %s with its options; slotel adds "
            "tags and trace ids to its events, and sends the traces%s",
            read_dsn(client.dsn),
            ignored,
        )
        if former is not client and former.dsn:
            self._trail.replaced(former)
        self._connected(self._tie(client))

    # -- the ties --------------------------------------------------------------------------------------------

    def _tie(self, client: Any) -> SentryConnection:
        from slotel.runtime.sentry.client.client import SentryConnection

        destination = read_dsn(client.dsn)
        if not self._is_tied:
            self._is_tied = True
            put_processor_first(self._trail)
            register_external_propagation_context(current_span_ids)
            leave_source_lines_out()
            hide_own_frames()
            continue_spans_in_threads()
            remember_ignored_loggers()
            detail = ErrorDetail(
                self._parts.error_detail, lambda reason: self._parts.dropped("error_detail", reason, 1)
            )
            choose_variables(detail.choose)
            defer_serializing(self._finishes_events)
            self._lazy.wait_for_imports()
            watch_processors(keeps_names=not self._parts.native_names)
            # in mode `sdk` SentrySpanProcessor uses that API
            if self._parts.options.get("instrumenter") != "otel":
                span_api.install(self._parts.open_spans, native_names=self._parts.native_names)
                streamed_spans.install(self._parts.open_spans)
        self._lazy.catch_up()
        parts = self._parts
        self._trail.count_sessions(client)
        skip_log_records(getattr(client, "integrations", {}).get("logging"), repeats)
        environment = self._environment(client.options)
        parts.expected(destination.project, environment)
        if sender_of(client.transport) is None:
            self._watch_transport(client, destination)
        elif os.environ.get("SENTRY_PRINT_ENVELOPES"):
            self._completion.before(client.transport)
        self._completion.before(getattr(client, "spotlight", None))
        if self._connection is None:
            self._connection = SentryConnection(client, destination, self._identity, self._trail)
        self._connection.client, self._connection.destination = client, destination
        return self._connection

    def _watch_transport(self, client: Any, destination: Destination) -> None:
        """Count and complete the envelopes that a transport of the app gets."""
        parts, environment = self._parts, self._environment(client.options)
        watch_losses(client.transport, lambda reason, count: parts.dropped("errors", reason, count))
        self._completion.before(
            client.transport, handed=lambda told: parts.counted(destination.project, told or environment)
        )

    def _finishes_events(self, client: Any) -> bool:
        """Whether slotel's transport finishes an event, and no hook of the app reads it before.

        Events of other clients of the app than the process's are completed, too.
        """
        if sender_of(client.transport) is None:
            try:
                if client.transport is not None and client.dsn:
                    self._watch_transport(client, read_dsn(client.dsn))
                    self._completion.before(getattr(client, "spotlight", None))
                    client.options["before_send"] = self._before_send(client.options)
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                LOG.error("events of another Sentry client of the app are not redacted: %s", error)
            return False
        return (
            client.options.get("before_send") is None
            and getattr(client, "spotlight", None) is None
            and not os.environ.get("SENTRY_PRINT_ENVELOPES")
        )

    def _transport_class(self) -> Any:
        """Return the transport class for `sentry_sdk.init`."""
        takeover, parts = self, self._parts

        class SlotelTransport(ClientTransport):
            def __init__(self, options: dict[str, Any]) -> None:
                dsn = options["dsn"]
                project, environment = read_dsn(dsn).project, takeover._environment(options)
                # what a server has forbidden for a while holds for its next client, too
                limits = takeover._limits.setdefault(dsn, RateLimits())
                super().__init__(
                    options,
                    Sender(Endpoint(dsn, options), parts.dropped, limits),
                    completion=takeover._completion,
                    counted=lambda told: parts.counted(project, told or environment),
                )

        return SlotelTransport

    def _environment(self, options: Mapping[str, Any]) -> str:
        return str(options.get("environment") or self._identity.environment)

    def _options(self) -> dict[str, Any]:
        """Return slotel's options, for its own client and as defaults of the app's."""
        identity = self._identity
        options = {
            "auto_enabling_integrations": False,
            "auto_session_tracking": False,
            "transport": self._transport_class(),
            "environment": identity.environment,
            "enable_logs": self._parts.logs or None,
            "release": identity.release,
            "server_name": identity.server_name,
            **self._parts.options,
        }
        return {name: value for name, value in options.items() if value is not None}

    def _before_send(self, options: Any) -> Any:
        """Return the app's `before_send`, given completed events. Redaction follows it."""
        hook = options.get("before_send")
        if hook is None or hasattr(hook, "_slotel_original"):
            return hook

        def before_send(event: Any, hint: Any) -> Any:
            self._completion.lines.add_to(event, options.get("max_value_length"))
            add_modules(event)
            record = hint.pop(RECORD, None)  # the app's hook sees what plain sentry-sdk shows it
            try:
                wanted = hook(event, hint)
            finally:
                if record is not None:
                    hint[RECORD] = record
            if wanted is None:
                unreport(hint)
            else:
                leave_empty_out(wanted)
            return wanted

        before_send._slotel_original = hook  # type: ignore[attr-defined]  # noqa: SLF001 so that it is never wrapped twice
        return before_send
