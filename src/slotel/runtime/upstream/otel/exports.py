"""The SDK's exporters: the times of their last delivery and failure, and a connection for each process.

An exporter reports the result of an export only to its own processor. So the method `export` of that one instance is
wrapped; its arguments and its result do not change.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_MODULE: Final = "opentelemetry.exporter.otlp.common.http"
_SHARED: Final = (
    "a forked child exports by OTLP/HTTP over its parent's connection: both may lose what they send"
)
_EXPORT: Final = Probe(
    f"{_MODULE}:_OTLPHTTPClient", "export",
    why="a child of a fork opens a connection of its own, for spans, metrics and log records",
    without=_SHARED,
)  # fmt: skip
_TRANSPORT: Final = Probe(
    f"{_MODULE}:_OTLPHTTPClient", "_transport",
    why="the same: it has the parent's connection", without=_SHARED,
)  # fmt: skip
_PID: Final = "_slotel_pid"
"""Attribute of a client: the process that it last exported in."""


@dataclass(slots=True)
class Delivery:
    """Unix seconds of the last delivery, and of the last failure that no delivery followed; None without one."""

    delivered: float | None = None
    failed: float | None = None

    def note(self, *, is_delivered: bool) -> None:
        """Record the result of an export."""
        if is_delivered:
            self.delivered, self.failed = time.time(), None
        else:
            self.failed = time.time()


def connect_anew_after_fork() -> None:
    """Have every OTLP/HTTP exporter, also one that is made later, open a new connection in each process.

    The SDK's exporters keep theirs open, and a fork copies it: two processes then mix their requests, read each other's
    responses, and send data again that they believe to be lost. The copy is closed when the child first exports, not at
    the fork: a lock in it may be held by a thread that the child does not have.
    """
    _EXPORT.wrap_on_import(_connecting_anew)


def _connecting_anew(export: Any) -> Any:
    def exported(client: Any, *args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):
            pid, last = os.getpid(), vars(client).get(_PID)
            if last != pid:
                setattr(client, _PID, pid)
                transport = _TRANSPORT.of(client)
                if last is not None and transport is not None:
                    transport.close()
        return export(client, *args, **kwargs)

    return exported


DELIVERIES: Final[dict[str, Delivery]] = {}
"""By signal: `traces`, `metrics`."""


def watch(exporter: Any, signal: str) -> None:
    """Record the results of an exporter's exports; an exporter that cannot be wrapped stays as it is."""
    export = getattr(exporter, "export", None)
    if export is None:
        return
    delivery = Delivery()

    def noted(original: Any, _exporter: Any, values: Any, named: Any) -> Any:
        try:
            result = original(*values, **named)
        except BaseException:
            delivery.note(is_delivered=False)
            raise
        delivery.note(is_delivered=getattr(result, "name", "") == "SUCCESS")
        return result

    with suppress(AttributeError, TypeError):  # slots, a frozen class
        exporter.export = wrapt.FunctionWrapper(
            export, noted
        )  # has what the method has, as a mock's `call_count`
        DELIVERIES[signal] = delivery
