"""ErrorTracker: errors, messages, users and tags from code. What it reports goes the runtime's way."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

from opentelemetry import trace

from slotel.config.tags import sentry_tag_key
from slotel.runtime import state
from slotel.runtime.logs import printable
from slotel.tracker.started import started

Level = Literal["debug", "info", "warning", "error", "fatal"]


class ErrorTracker:
    """Reports errors to Sentry, with the trace and the tags of the current span.

    Reads the environment: SENTRY_DSN, SENTRY_ENVIRONMENT, SENTRY_RELEASE, SENTRY_TRACES_SAMPLE_RATE,
    ERROR_BUDGET_LIMIT, and slotel.yaml if there is one. Works with and without
    `opentelemetry-instrument`; any number of trackers share one runtime. Nothing here raises into the app.

    Args:
        environ: what is read instead of `os.environ`.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        self._environ = environ

    def init(self) -> ErrorTracker:
        """Start slotel unless it runs already; return this tracker."""
        started(self._environ)
        return self

    def capture_exception(self, error: BaseException | None = None, **tags: object) -> str | None:
        """Report an exception, by default the one that is being handled; return the event's id.

        An exception is reported once: where a framework or the middleware reports it too, one event arrives.

        Args:
            tags: of this event alone.

        Returns:
            None if there is no exception, no DSN, or the event was dropped.
        """
        self.init()
        found = error if error is not None else sys.exc_info()[1]
        if found is None:
            return None
        import sentry_sdk

        with sentry_sdk.new_scope() as scope:
            scope.set_tags(_sentry_tags(tags))
            return sentry_sdk.capture_exception(found)

    def capture_message(self, message: str, level: Level = "info", **tags: object) -> str | None:
        """Report a message; return the event's id, None if it was not sent.

        Args:
            tags: of this event alone.
        """
        self.init()
        import sentry_sdk

        with sentry_sdk.new_scope() as scope:
            scope.set_tags(_sentry_tags(tags))
            return sentry_sdk.capture_message(printable(message), level=level)

    def set_custom_tags(self, **tags: object) -> None:
        """Set tags on the current span, its whole request and the request's Sentry events: `set_custom_tags`."""
        set_custom_tags(**tags)

    def set_user(self, user: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Say who the user of this request is: `id`, `email`, `username`, `ip_address`; nothing takes it back."""
        import sentry_sdk

        sentry_sdk.set_user({**(user or {}), **fields} or None)


def set_custom_tags(**tags: object) -> None:
    """Set tags on the current span, on its whole request, and on the request's errors, as the policy allows.

    Where the policy makes a tag a metric label, the request is counted under it. The next request starts without
    them, in threads, tasks and generators alike. Outside of a request they stay until they are set again. A tag
    that is None is left alone.
    """
    given = {key: value for key, value in tags.items() if value is not None}
    span = trace.get_current_span()
    for key, value in given.items():
        span.set_attribute(key, value if isinstance(value, (str, bool, int, float)) else printable(value))
    runtime = state.current()
    local_root = runtime.open_spans.of(span.get_span_context().span_id) if runtime is not None else None
    if local_root is not None:
        local_root.tags.update({key: _text(value) for key, value in given.items()})
    if "sentry_sdk" in sys.modules:
        scope = _sentry_scope(local_root)
        if scope is not None:
            scope.set_tags(_sentry_tags(given))


def _sentry_scope(local_root: Any) -> Any:
    """Return the Sentry scope that ends with this local root; events of others find the tags on their local root."""
    if local_root is None:
        import sentry_sdk

        return sentry_sdk.get_isolation_scope()
    from slotel.runtime.sentry.errors.linker import isolation_of

    return isolation_of(local_root)


def _sentry_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Return the tags as the policy and Sentry let them through."""
    texts = {key: _text(value) for key, value in tags.items() if value is not None}
    runtime = state.current()
    enforced = runtime.enforcer.tags({}, texts) if runtime is not None else texts
    named = {sentry_tag_key(key): enforced.get(key, value) for key, value in texts.items()}
    return {key: value for key, value in named.items() if key is not None}


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else printable(value)
