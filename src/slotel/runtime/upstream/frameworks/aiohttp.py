"""The places of aiohttp.web where an answer is sent: its middlewares have ended by then, and so has their span."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_GOOD: Final = "an answer of aiohttp that breaks after its middlewares is good, and a file has the status 200"
_HANDLE: Final = Probe(
    "aiohttp.web_protocol:RequestHandler", "_handle_request",
    why="serves a request until its answer is sent, or has failed", without=_GOOD,
)  # fmt: skip
_LOG: Final = Probe(
    "aiohttp.web_protocol:RequestHandler", "log_access",
    why="is called while the error of a connection is in flight, which aiohttp tells nobody",
    without="a connection of the app's own that breaks aiohttp's answer counts as a client that left",
)  # fmt: skip
_PREPARE: Final = Probe(
    "aiohttp.web_response:StreamResponse", "prepare",
    why="sends the head of an answer", without="an answer of aiohttp that breaks has no status",
)  # fmt: skip
_END: Final = Probe(
    "aiohttp.web_response:StreamResponse", "write_eof",
    why="ends an answer", without="an answer of aiohttp that is shorter than its head says is good",
)  # fmt: skip

Serve = Callable[[Any, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
"""Serves a request, with a function that hands it to a given handler, and sends what that returns."""
Served = Callable[[], Any]
"""Returns the request that is served in this context. It has `status`, of the head that is sent, `unsent`, the error by
which it was not, and `note_ended`, called with the number of the answer's last bytes, but not of a file."""


def watch_answers(serve: Callable[[Any], Serve | None], served: Served) -> None:
    """Watch each answer of aiohttp.web until it is sent, from the import of aiohttp's server on.

    Args:
        serve: returns the function that serves the requests of a handler; None if they are not watched.
        served: see `Served`; None for a request that is not watched.
    """
    _HANDLE.wrap_on_import(functools.partial(_handling, serve))
    _LOG.wrap_on_import(functools.partial(_logging, served))
    _PREPARE.wrap_on_import(functools.partial(_preparing, served))
    _END.wrap_on_import(functools.partial(_ending, served))


def is_answer(error: BaseException) -> bool:
    """Return whether an exception is an answer that a handler of aiohttp has raised."""
    module = sys.modules.get("aiohttp.web")
    return module is not None and isinstance(error, module.HTTPException)


def _handling(serve: Callable[[Any], Serve | None], original: Any) -> Any:
    async def _handle_request(its: Any, request: Any, *more: Any) -> Any:
        __traceback_hide__ = True
        *rest, handler = more
        serving = serve(handler)
        if serving is None:
            return await original(its, request, *more)
        return await serving(request, functools.partial(original, its, request, *rest))

    return _handle_request


def _logging(served: Served, original: Any) -> Any:
    def log_access(its: Any, *args: Any, **kwargs: Any) -> Any:
        __traceback_hide__ = True
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError) and (request := served()) is not None:
            request.unsent = error
        return original(its, *args, **kwargs)

    return log_access


def _preparing(served: Served, original: Any) -> Any:
    async def prepare(its: Any, *args: Any, **kwargs: Any) -> Any:
        __traceback_hide__ = True
        writer = await original(its, *args, **kwargs)
        if (request := served()) is not None:
            request.status = its.status
        return writer

    return prepare


def _ending(served: Served, original: Any) -> Any:
    def write_eof(its: Any, data: bytes = b"", *args: Any, **kwargs: Any) -> Any:
        is_file = isinstance(its, sys.modules["aiohttp.web"].FileResponse)
        if not is_file and (request := served()) is not None:
            request.note_ended(len(data))
        return original(its, data, *args, **kwargs)

    return write_eof
