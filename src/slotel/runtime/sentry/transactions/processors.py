"""The event processors of sentry-sdk's integrations, which read a framework's request, or a job, for a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from slotel.runtime.sentry.transactions.names import is_named_by
from slotel.runtime.upstream.sentry import replace
from slotel.runtime.upstream.sentry.scope import processors_of
from slotel.runtime.upstream.sentry.spans import ADD_PROCESSOR

_INTEGRATIONS: Final = "sentry_sdk.integrations."
_NAMES: Final = ("transaction", "transaction_info")
_NAME: Final = "a transaction"


def watch_processors(*, keeps_names: bool) -> None:
    """Wrap each event processor that an integration adds to a scope: see `OfIntegration`.

    Args:
        keeps_names: keep integrations from naming events and transactions after functions: they have the span's name.
            An integration whose `transaction_style` the app has set names them all the same.
    """

    def add_event_processor(original: Any, scope: Any, processor: Any) -> Any:
        module = str(getattr(getattr(processor, "func", processor), "__module__", ""))
        if module.startswith(_INTEGRATIONS):
            framework = module.removeprefix(_INTEGRATIONS).partition(".")[0]
            processor = OfIntegration(processor, framework if keeps_names else None)
        return original(scope, processor)

    replace(ADD_PROCESSOR, add_event_processor)


class OfIntegration:
    """An event processor of an integration.

    It reads a framework's request, or a job, which another thread cannot read, or which is gone by then. A transaction
    is made on another thread: what is added to it is noted before.

    Args:
        framework: whose names are not wanted; None if they are.
    """

    def __init__(self, process: Callable[[Any, Any], Any], framework: str | None) -> None:
        self._process, self._framework = process, framework
        self._noted: Mapping[str, Any] | None = None

    def note(self) -> None:
        """Note what it adds to the transaction of a request that ends. Never raises."""
        with suppress(Exception):  # a transaction without it is better than none
            named = {"type": "transaction", "transaction": _NAME, "transaction_info": {"source": "custom"}}
            noted = self._process(named, {})
            if noted["transaction"] == _NAME:  # it names none that has a name
                noted = {key: value for key, value in noted.items() if key not in _NAMES}
            self._noted = noted

    def __call__(self, event: Any, hint: Any) -> Any:
        """Return the event with what it adds; None if it drops the event."""
        keeps_name = self._framework is not None and not is_named_by(self._framework, is_native=False)
        kept = {key: event[key] for key in _NAMES if key in event}
        if self._noted is None or event.get("type") != "transaction":
            event = self._process(event, hint)
        else:
            for key, value in self._noted.items():
                there = event.get(key)
                is_part = isinstance(there, dict) and isinstance(value, dict)
                event[key] = {**there, **value} if is_part else value
        if event is not None and keeps_name and kept.get("transaction"):
            event.update(kept)
        return event


def note_processors(scopes: Iterable[Any]) -> None:
    """Have the integrations note what they add to the transaction of a request that ends, on its thread."""
    for scope in scopes:
        for process in processors_of(scope):
            if isinstance(process, OfIntegration):
                process.note()
