"""Detects what only frameworks know about a websocket: its client has disconnected, or its handler has failed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_LEFT: Final = "a websocket that its client closes is good, not excluded"
_AIOHTTP: Final = Probe(
    "aiohttp.web_ws:WebSocketResponse", "receive",
    why="gives the handler the message that the client has closed or lost the socket", without=_LEFT,
)  # fmt: skip
_TORNADO: Final = Probe(
    "tornado.websocket:WebSocketHandler", "on_ws_connection_close",
    why="is called when a socket is closed", without=_LEFT,
)  # fmt: skip
_CLIENTS: Final = frozenset({"CLOSE", "ERROR"})
"""Types of messages that only a client's end makes; CLOSED is one if the socket was open: nothing more came."""


def watch_sockets(left: Callable[[], None]) -> None:
    """Call `left` in the span of a websocket whose client has disconnected, once its framework is imported."""
    _AIOHTTP.wrap_on_import(functools.partial(_of_aiohttp, left))
    _TORNADO.wrap_on_import(functools.partial(_of_tornado, left))


def watch_failed_sockets(failed: Callable[[BaseException], None]) -> None:
    """Call `failed` with the exception of a websocket's handler that Quart closes normally all the same."""

    def hook(signals: Any) -> None:
        def report(_sender: Any, exception: BaseException, **_more: Any) -> None:
            failed(exception)

        signals.got_websocket_exception.connect(report, weak=False)

    wrapt.register_post_import_hook(hook, "quart.signals")


def _of_aiohttp(left: Callable[[], None], original: Any) -> Any:
    async def receive(its: Any, *args: Any, **kwargs: Any) -> Any:
        __traceback_hide__ = True
        was_open = not its.closed
        message = await original(its, *args, **kwargs)
        name = message.type.name
        if name in _CLIENTS or (name == "CLOSED" and was_open):
            left()
        return message

    return receive


def _of_tornado(left: Callable[[], None], original: Any) -> Any:
    def on_ws_connection_close(its: Any, *args: Any, **kwargs: Any) -> Any:
        if its.ws_connection is not None:  # its own close() takes it away
            left()
        return original(its, *args, **kwargs)

    return on_ws_connection_close
