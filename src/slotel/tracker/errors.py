"""ErrorTracker: reports errors and messages, and sets users and tags, from code."""

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

    Works with and without `opentelemetry-instrument`. Trackers share one runtime, which reads SENTRY_DSN,
    SENTRY_ENVIRONMENT, SENTRY_RELEASE, SENTRY_TRACES_SAMPLE_RATE, ERROR_BUDGET_LIMIT and slotel.yaml when it starts.
    No method raises an exception of slotel's own.

    Args:
        environ: the environment variables to read; default: `os.environ`.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        self._environ = environ

    def init(self) -> ErrorTracker:
        """Start slotel if it is not running; return this tracker."""
        started(self._environ)
        return self

    def capture_exception(self, error: BaseException | None = None, **tags: object) -> str | None:
        """Send an exception to Sentry as an error event.

        An exception is sent once, even if a framework or the middleware reports it, too.

        Args:
            error: default: the exception that is being handled.
            tags: tags of this event only.

        Returns:
            The event's id; None if there is no exception or no DSN, or if the event was dropped.
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
        """Send a message to Sentry.

        Args:
            tags: tags of this event only.

        Returns:
            The event's id; None if there is no DSN, or if the event was dropped.
        """
        self.init()
        import sentry_sdk

        with sentry_sdk.new_scope() as scope:
            scope.set_tags(_sentry_tags(tags))
            return sentry_sdk.capture_message(printable(message), level=level)

    def set_custom_tags(self, tags: Mapping[str, object] | None = None, /, **more: object) -> None:
        """Set tags on the current request; see the function `set_custom_tags`."""
        set_custom_tags(tags, **more)

    def set_user(self, user: Mapping[str, Any] | str | int | None = None, **fields: Any) -> None:
        """Set the user of the current request's Sentry events: `id`, `email`, `username`, `ip_address`.

        A text or a number is the `id`. Without arguments the user is removed.
        """
        import sentry_sdk

        known = user if isinstance(user, Mapping) else {} if user is None else {"id": user}
        sentry_sdk.set_user({**known, **fields} or None)


def set_custom_tags(tags: Mapping[str, object] | None = None, /, **more: object) -> None:
    """Set tags on the current span, its request and the request's Sentry events.

    The tag policy of slotel.yaml is enforced on them. A tag in `metric_labels` also labels the request's metrics. Tags
    end with their request, in threads, tasks and generators, too. Set outside of a request they are on Sentry's error
    events only, until they are set again: `tags.set` of slotel.yaml is on every span, metric and event.

    Args:
        tags: name → value, for names that are no keyword: `{"order.kind": "gift"}`.
        more: tags as keywords: `team="payments"`. A value of None is ignored.
    """
    named = {**(tags if isinstance(tags, Mapping) else {}), **more}
    given = {printable(key): value for key, value in named.items() if value is not None}
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
    from slotel.runtime.sentry.errors.request_scopes import isolation_of

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
