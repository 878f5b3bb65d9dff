"""What aiohttp's server says of a websocket that no span carries: whether its client closed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_RECEIVE: Final = Probe(
    "aiohttp.web_ws:WebSocketResponse", "receive",
    why="gives the handler the message that the client has closed or lost the socket",
    without="a websocket that its client closes is good, not excluded",
)  # fmt: skip
_CLIENTS: Final = frozenset({"CLOSE", "ERROR"})
"""Types of messages that only a client's end makes; CLOSED is one if the socket was open: nothing more came."""


def watch_sockets(left: Callable[[], None]) -> None:
    """Call `left` in the span of a websocket whose client has left, once aiohttp's server is imported."""
    wrapt.register_post_import_hook(
        lambda module: _RECEIVE.wrap(module.WebSocketResponse, _noting(left)), "aiohttp.web_ws"
    )


def _noting(left: Callable[[], None]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        async def receive(its: Any, *args: Any, **kwargs: Any) -> Any:
            __traceback_hide__ = True
            was_open = not its.closed
            message = await original(its, *args, **kwargs)
            name = message.type.name
            if name in _CLIENTS or (name == "CLOSED" and was_open):
                left()
            return message

        return receive

    return wrap
