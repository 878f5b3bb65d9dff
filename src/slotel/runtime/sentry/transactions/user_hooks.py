"""Applies the user's Sentry hooks to a transaction: scope data, event processors, scrubber, before_send_transaction.

In the order of sentry-sdk's client, with public names only, for 2.x and 3.x. It sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from copy import copy, deepcopy
from functools import cache
from typing import Any, Final

from sentry_sdk.scope import Scope
from sentry_sdk.utils import strip_string

from slotel.config.names import REDACTED
from slotel.config.tags import clean_value
from slotel.runtime.logs import LOG
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.sentry.protocols import SentryClientLike
from slotel.runtime.sentry.transactions.payload import sentry_tags
from slotel.runtime.sentry.transactions.traces import Said
from slotel.runtime.upstream.sentry.events import given_tags, settled
from slotel.runtime.upstream.sentry.scope import adds_nothing

_FOREIGN: Final = ("request", "extra", "user", "modules")
"""Keys of an event that scopes and processors add."""
_OF_THE_PROCESS: Final = (("extra", "sys.argv"), ("contexts", "runtime"))
"""Keys that sentry-sdk's own processors add to each event: flat, and constant in a process."""
_OURS: Final = frozenset({"trace", "otel", "response"})
_MOST_SHAPES: Final = 10_000
_NEVER_CUT: Final = frozenset(
    ("type", "description", "event_id", "trace_id", "span_id", "parent_span_id", "profiler_id", "start_timestamp",
     "timestamp")
)  # fmt: skip
"""Keys of a transaction that are not cut: ids and times, and the description of a span, which sentry-sdk keeps, too."""
_CONTAINERS: Final = (dict, list)
_SCRUBS: Final = frozenset(
    f"scrub_{part}"
    for part in ("dict", "list", "event", "request", "extra", "user", "breadcrumbs", "frames", "spans")
)
"""Methods of sentry-sdk's scrubber, one for each key of an event that it scrubs."""
_OF_ERRORS: Final = frozenset({"breadcrumbs", "exception", "stacktrace", "threads"})
"""Keys that it scrubs and that a transaction has only if a processor adds them."""
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_LONGEST_TAG: Final = 2000
"""Characters of a tag that are kept for redaction; Sentry's server keeps 200."""


class DroppedError(Exception):
    """A hook of the user dropped this transaction; the message is the counted reason."""


class UserHooks:
    """The hooks of a client, for each transaction.

    Args:
        client: whose options apply, also to transactions that ended before the app's next `init` and are built later.
    """

    def __init__(self, client: SentryClientLike, enforcer: Enforcer) -> None:
        self._client = client
        self._enforcer = enforcer
        self._known: dict[str, tuple[Any, Any]] = {}
        self._scrubs: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def apply(
        self,
        event: dict[str, Any],
        said: Said,
        tags_of_root: Mapping[str, Any],
    ) -> tuple[dict[str, Any], Sequence[Any]]:
        """Return the processed and redacted event, and sentry-sdk's attachments of it.

        Args:
            said: what the request's code has said until the end of its root span; processors of the app may read it.
            tags_of_root: tags of the root span; those of the scopes and of the policy win.

        Raises:
            DroppedError: a processor or before_send_transaction returned None.
        """
        options = self._client.options
        ignored = options.get("trace_ignore_status_codes")
        if ignored and _answer_of(event["contexts"]) in ignored:
            raise DroppedError("ignored_status")
        hint: dict[str, Any] = {}
        event = self._with_scopes(event, said, hint, tags_of_root)
        if hint.get("attachments"):  # of sentry-sdk 3 none goes with a transaction
            hint["attachments"] = [
                each for each in hint["attachments"] if getattr(each, "add_to_transactions", False)
            ]
        for key in ("release", "environment", "server_name", "dist"):
            if event.get(key) is None and options.get(key) is not None:
                event[key] = str(options[key]).strip()
        self._scrub(event, options.get("event_scrubber"))
        longest = options.get("max_value_length")
        if isinstance(longest, int):
            event = _shortened(event, longest)
        before_send = options.get("before_send_transaction")
        if before_send is not None:  # what it has added is redacted, too
            event = self._enforcer.event(_before_send(before_send, event, hint))
        return event, hint.get("attachments") or ()

    def _with_scopes(
        self,
        event: dict[str, Any],
        said: Said,
        hint: dict[str, Any],
        tags_of_root: Mapping[str, Any],
    ) -> dict[str, Any]:
        context, scopes = said.context, said.scopes()
        enforced = event["tags"]
        event["tags"] = {**tags_of_root, **enforced}
        try:
            applied = context.run(_apply_scopes, event, scopes, self._client, hint)
        except RuntimeError:  # the app changed a scope meanwhile, which another thread shares
            hint.clear()
            applied = context.run(_apply_scopes, event, scopes, self._client, hint)
        if applied is None:
            raise DroppedError("event_processor")
        applied.pop("breadcrumbs", None)
        if not applied.get("extra"):
            applied.pop("extra", None)
        foreign: dict[str, Any] = {key: applied[key] for key in _FOREIGN if key in applied}
        contexts = {key: value for key, value in applied["contexts"].items() if key not in _OURS}
        if contexts:
            foreign["contexts"] = contexts
        if foreign:
            foreign = self._redacted(foreign)
            applied["contexts"].update(foreign.pop("contexts", {}))
            applied.update(foreign)
        if len(applied["tags"]) != len(enforced):
            applied["tags"] = sentry_tags(self._redacted_tags(applied["tags"]))
        applied["tags"].update(enforced)
        return applied

    def _redacted(self, foreign: dict[str, Any]) -> dict[str, Any]:
        """Redact what scopes and processors added; keys that are constant in a process are redacted once."""
        known: list[tuple[str, str, Any]] = []
        for section, key in _OF_THE_PROCESS:
            part = foreign.get(section)
            if part.__class__ is dict and key in part:
                redacted = self._known_redacted(section, key, part[key])
                if redacted is not None:
                    known.append((section, key, redacted))
                if len(part) == 1:
                    del foreign[section]
                else:
                    foreign[section] = {other: value for other, value in part.items() if other != key}
        if foreign:
            foreign = self._enforcer.event(settled(foreign))
        for section, key, value in known:
            foreign.setdefault(section, {})[key] = value
        return foreign

    def _known_redacted(self, section: str, key: str, value: Any) -> Any:
        seen, redacted = self._known.get(key, (None, None))
        if not _is_equal(seen, value):
            plain = settled({section: {key: value}})
            seen = deepcopy(plain[section][key])
            redacted = self._enforcer.event(plain)[section].get(key)
            self._known[key] = seen, redacted
        return redacted.copy() if redacted.__class__ in _CONTAINERS else redacted

    def _redacted_tags(self, tags: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = {
            str(key): value if value.__class__ in _SCALARS else clean_value(value, _LONGEST_TAG)[0]
            for key, value in given_tags(tags).items()
        }
        redacted = self._enforcer.event({"tags": plain})["tags"]
        return redacted if isinstance(redacted, Mapping) else {}

    def _scrub(self, event: Any, scrubber: Any) -> None:
        """Run the user's scrubber. The result of sentry-sdk's own is cached for each set of keys."""
        if scrubber is None:
            return
        from sentry_sdk.scrubber import EventScrubber

        data = event["contexts"]["trace"].get("data")
        if type(scrubber) is not EventScrubber or scrubber.recursive:
            scrubber.scrub_event(event)
            scrubber.scrub_dict(data)
            return
        if not self._has_nothing_to_scrub(event, scrubber):
            spans = event.pop("spans", [])
            scrubber.scrub_event(event)
            event["spans"] = spans
        otel = event["contexts"].get("otel")
        self._scrub_data(data, scrubber)
        if otel is not None:
            self._scrub_data(otel.get("attributes"), scrubber)
        for span in event.get("spans") or ():
            self._scrub_data(span.get("data"), scrubber)

    def _has_nothing_to_scrub(self, event: Mapping[str, Any], scrubber: Any) -> bool:
        """Whether sentry-sdk's scrubber would hide no key of what scopes and processors added."""
        if not _OF_ERRORS.isdisjoint(event) or not _scrubs_as_known(scrubber.__class__):
            return False
        request = event.get("request")
        parts = [event.get("extra"), event.get("user")]
        if request.__class__ is dict:
            parts += request.get("headers"), request.get("cookies"), request.get("data")
        elif request is not None:
            return False
        # not by `_hidden`: clients choose the names of headers and of cookies, which would fill what it knows
        return not [part for part in parts if part and (part.__class__ is not dict or _hides(scrubber, part))]

    def _scrub_data(self, data: Any, scrubber: Any) -> None:
        if data.__class__ is dict or isinstance(data, MutableMapping):
            for key in self._hidden(data, scrubber):
                data[key] = REDACTED

    def _hidden(self, data: Mapping[str, Any], scrubber: Any) -> tuple[str, ...]:
        """Return the keys whose values sentry-sdk's scrubber hides. The scrubber does not change."""
        shape = (id(scrubber), *data)
        hidden = self._scrubs.get(shape)
        if hidden is None:
            if len(self._scrubs) >= _MOST_SHAPES:
                self._scrubs.clear()
            hidden = tuple(_hides(scrubber, data))
            self._scrubs[shape] = hidden
        return hidden


def _shortened(value: Any, longest: int) -> Any:
    """Return data with each text as long as the app's `max_value_length` allows, as sentry-sdk cuts it."""
    if isinstance(value, str):
        cut = strip_string(value, longest)
        return cut if isinstance(cut, str) else cut.value
    if isinstance(value, Mapping):
        return {key: item if key in _NEVER_CUT else _shortened(item, longest) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(item, longest) for item in value]
    return value


def _hides(scrubber: Any, data: Mapping[str, Any]) -> list[str]:
    return [key for key in data if isinstance(key, str) and key.lower() in scrubber.denylist]


@cache
def _scrubs_as_known(scrubber: type[Any]) -> bool:
    """Whether a scrubber scrubs only keys of an event that are known here."""
    return _SCRUBS.issuperset(name for name in dir(scrubber) if name.startswith("scrub_"))


def _answer_of(contexts: Mapping[str, Any]) -> Any:
    """Return the status code of a request's response, or the one that the app set by `set_http_status`."""
    said = contexts["trace"].get("data") or {}
    return contexts.get("response", {}).get("status_code", said.get("http.response.status_code"))


def _apply_scopes(
    event: dict[str, Any], scopes: tuple[Scope, Scope], client: SentryClientLike, hint: dict[str, Any]
) -> dict[str, Any] | None:
    isolation, current = scopes
    whole = Scope.get_global_scope()
    if whole.client is not client:  # another `init` has come meanwhile: what processors ask is for this one
        current = copy(current)
        current.set_client(client)
    # in a context of this transaction's own: event processors are found there
    Scope.set_isolation_scope(isolation)
    Scope.set_current_scope(current)
    if adds_nothing(whole, isolation, current):
        hint["attachments"] = []  # for the app's processors
        said: Any = isolation.run_event_processors(event, hint)  # type: ignore[arg-type]  # a plain dict
        return said if isinstance(said, dict) else None
    merged = copy(whole)
    merged.update_from_scope(isolation)
    merged.update_from_scope(current)
    applied: Any = merged.apply_to_event(event, hint, dict(client.options))  # type: ignore[arg-type]  # a plain dict
    return applied if isinstance(applied, dict) else None


def _is_equal(seen: Any, value: Any) -> bool:
    try:
        return bool(seen == value)
    except Exception:  # noqa: BLE001 the app's own code compares
        return False


def _before_send(before_send: Any, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    try:
        sent = before_send(event, hint)
    except Exception as error:
        LOG.warning("before_send_transaction raised %s: the transaction is dropped", type(error).__name__)
        raise DroppedError("before_send_error") from error
    if sent is None:
        raise DroppedError("before_send")
    return dict(sent)
