"""The client of sentry-sdk: where the app makes one, what sends for it, and who sees its events first.

`init` and `set_client` are its API, and have no hook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sentry_sdk
from sentry_sdk import scope
from sentry_sdk.scope import add_global_event_processor

from slotel.runtime.upstream.probe import Probe
from slotel.runtime.upstream.sentry import replace

_PROCESSORS: Final = Probe(
    "sentry_sdk.scope", "global_event_processors",
    why="slotel's event processor comes before sentry-sdk's own test for duplicates",
    without="it comes last: one exception may be reported twice",
)  # fmt: skip
_INIT: Final = Probe(
    "sentry_sdk", "init",
    why="the app calls it itself: its options stay, and nothing is traced twice",
    without="the app's own client is taken over when it is set",
)  # fmt: skip
_SET_CLIENT: Final = Probe(
    "sentry_sdk.scope:Scope", "set_client",
    why="a client that comes past `init` is taken over, too",
    without="a client that the app makes by hand is not taken over",
)  # fmt: skip
_INNER: Final = Probe(
    "sentry_sdk.transport:EnvelopePrinterTransport", "_inner",
    why="SENTRY_PRINT_ENVELOPES wraps the transport in its own",
    without="with SENTRY_PRINT_ENVELOPES, losses are not counted",
    level=None,  # every other transport rightly has none
)  # fmt: skip


def before_init(call: Callable[..., Any]) -> None:
    """Have a function called in the place of `sentry_sdk.init`, wherever the app imports it from."""
    if replace(_INIT, call):
        _INIT.put(sentry_sdk.api, _INIT.of(sentry_sdk))


def after_set_client(call: Callable[[Any, Any], None]) -> None:
    """Call a function with each scope and the client that it was given."""

    def set_client(original: Any, its: Any, client: Any = None) -> None:
        original(its, client)
        call(its, client)

    replace(_SET_CLIENT, set_client)


def put_processor_first(processor: Any) -> None:
    """Register an event processor before all others."""
    add_global_event_processor(processor)
    registered = _PROCESSORS.of(scope)
    if isinstance(registered, list) and registered[-1:] == [processor]:
        registered.insert(0, registered.pop())


def inner_transport(transport: Any) -> Any:
    """Return the transport that sends: one that prints has it inside."""
    inner = _INNER.of(transport)
    return transport if inner is None else inner


def takes_envelopes(transport: Any) -> bool:
    """Return whether a transport of the app's own takes transactions: a function is given errors only."""
    kind = type(inner_transport(transport))
    return transport is not None and kind.__module__ != "sentry_sdk.transport"
