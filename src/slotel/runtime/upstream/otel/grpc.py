"""Faults of OpenTelemetry's instrumentation of gRPC servers, seen in 0.66b1."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, Final

import wrapt
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from slotel.runtime.upstream.probe import Probe

_PACKAGE: Final = "opentelemetry.instrumentation.grpc"
_WITHOUT: Final = "calls of methods that a server does not have are not counted"
_SYNC: Final = Probe(
    f"{_PACKAGE}._server:OpenTelemetryServerInterceptor", "intercept_service",
    why="is asked for each call's handler, and learns that there is none", without=_WITHOUT,
)  # fmt: skip
_ASYNC: Final = Probe(
    f"{_PACKAGE}._aio_server:OpenTelemetryAioServerInterceptor", "intercept_service",
    why=_SYNC.why, without=_WITHOUT,
)  # fmt: skip
_FILTER: Final = Probe(
    f"{_PACKAGE}._server:OpenTelemetryServerInterceptor", "_filter",
    why="what the user left out of instrumentation is not counted", without=_WITHOUT,
    level=None,  # of an instance
)  # fmt: skip
_MADE: Final = "a server whose interceptors are given by position cannot be made: the app does not start"
_ORIGINALS: Final = tuple(
    (
        Probe(module, "server", why="`server(pool, None, interceptors)` is a TypeError", without=_MADE),
        Probe(f"{_PACKAGE}:{instrumentor}", "_original_func", why="has the names", without=_MADE, level=None),
    )
    for module, instrumentor in (("grpc", "GrpcInstrumentorServer"), ("grpc.aio", "GrpcAioInstrumentorServer"))
)  # fmt: skip

Refused = Callable[[Any, Any, "Exception | None"], object]
"""Told the method that was asked for, the call's metadata, and what an interceptor or a lookup raised."""


def note_refused_calls(refused: Refused) -> None:
    """Tell of each call that comes to no handler: gRPC answers UNIMPLEMENTED, or UNKNOWN where the lookup raised."""
    for probe, wrap in ((_SYNC, _watching), (_ASYNC, _watching_async)):
        module, _, name = probe.where.partition(":")
        told = functools.partial(_tell, refused)
        wrapt.register_post_import_hook(functools.partial(_wrap_in, probe, name, wrap(told)), module)


def _tell(refused: Refused, interceptor: Any, details: Any, error: Exception | None) -> None:
    with contextlib.suppress(Exception):  # the client is to get gRPC's answer
        wanted = _FILTER.of(interceptor)
        if is_instrumentation_enabled() and (wanted is None or wanted(details)):
            refused(details.method, details.invocation_metadata, error)


def _watching(tell: Callable[..., None]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        def intercept_service(its: Any, continuation: Any, details: Any) -> Any:
            try:
                handler = original(its, continuation, details)
            except Exception as error:
                tell(its, details, error)
                raise
            if handler is None:
                tell(its, details, None)
            return handler

        return intercept_service

    return wrap


def _watching_async(tell: Callable[..., None]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        async def intercept_service(its: Any, continuation: Any, details: Any) -> Any:
            try:
                handler = await original(its, continuation, details)
            except Exception as error:
                tell(its, details, error)
                raise
            if handler is None:
                tell(its, details, None)
            return handler

        return intercept_service

    return wrap


def _wrap_in(probe: Probe, name: str, wrap: Callable[[Any], Any], module: Any) -> None:
    owner = getattr(module, name, None)
    if owner is None:
        probe.tell()
    else:
        probe.wrap(owner, wrap)


def take_arguments_by_position() -> None:
    """Let servers be made with interceptors that are given by position: the instrumentation adds its own by name."""

    def wrap(made: Any, original: Any) -> Any:
        names = tuple(inspect.signature(made).parameters)

        def server(*args: Any, **kwargs: Any) -> Any:
            if len(args) <= len(names) and kwargs.keys().isdisjoint(names[: len(args)]):
                args, kwargs = (), {**dict(zip(names, args, strict=False)), **kwargs}
            return original(*args, **kwargs)  # what is wrong with them gRPC says

        return server

    for server, made in _ORIGINALS:
        package, _, name = made.where.partition(":")
        module = sys.modules.get(server.where)
        instrumentor = getattr(sys.modules.get(package), name, None)
        function = made.of(instrumentor()) if instrumentor is not None else None
        if module is not None and function is not None:
            server.wrap(module, functools.partial(wrap, function))
