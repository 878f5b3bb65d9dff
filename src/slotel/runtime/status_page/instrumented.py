"""Active instrumentations over all processes of the service: gunicorn's master imports no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from slotel.runtime.upstream.otel.instrumentations.instrumentors import active_instrumentations

if TYPE_CHECKING:
    from slotel.runtime.metrics.workers.workers import Workers

SUFFIX: Final = "instrumented"


class Instrumented:
    """Those of this process, shared with the others, and those of all that live."""

    def __init__(self, workers: Workers | None) -> None:
        self._workers = workers

    def share(self) -> None:
        """Give the other processes what changed here."""
        if self._workers is not None:
            self._workers.share(SUFFIX, ",".join(active_instrumentations()).encode())

    def all(self) -> tuple[str, ...]:
        """Return the names of the instrumentations that are on in any process, sorted: `flask`, `urllib3`."""
        files = self._workers.shared(SUFFIX) if self._workers is not None else ()
        others = {
            name
            for file in files
            if file.is_alive
            for name in file.data.decode("utf-8", "replace").split(",")
        }
        return tuple(sorted({*active_instrumentations(), *others} - {""}))


def combine(_: Sequence[bytes]) -> bytes:
    """Return one file of those of dead processes: in them nothing is instrumented any more."""
    return b""
