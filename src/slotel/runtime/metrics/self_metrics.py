"""slotel's metrics about itself: drops, faults, tag violations, errors sent to Sentry. Logs faults once a minute.

Pending telemetry is counted, too, where other workers can read it: when a worker is killed, it is counted as lost
(workers/compaction.py).
"""

from __future__ import annotations

import logging
import time
from typing import Final

from slotel.config import names
from slotel.config.drops import drop
from slotel.runtime.logs import LOG, printable
from slotel.runtime.metrics.store.store import Counter, Store

LOG_EVERY: Final = 60.0
"""Seconds between two log lines of the same fault."""


class SelfMetrics:
    """The counters of slotel about itself, in the store, so that they merge over workers.

    Without a `sentry_project` the number of the Sentry project is its name.
    """

    def __init__(self, store: Store, sentry_project: str | None = None) -> None:
        self._sentry_project = sentry_project
        self._logged: dict[str, float] = {}
        self._dropped = _counter(store, names.DROPPED, "Lost telemetry, by reason.", "signal", "reason")
        self._stage = _counter(store, names.STAGE_ERRORS, "Faults inside slotel, by stage.", "stage")
        self._tags = _counter(store, names.TAG_VIOLATIONS, "Tags repaired or redacted.", "tag", "action")
        self._sentry = _counter(
            store,
            names.SENTRY_ERRORS,
            "Error events handed to Sentry.",
            names.LABEL_PROJECT,
            names.LABEL_ENVIRONMENT,
            names.LABEL_PROJECT_ID,
        )

    def dropped(self, signal: str, reason: str, count: int = 1) -> None:
        """Count lost telemetry; logged once a minute for each kind, unless the loss was configured."""
        self._dropped.add(self._dropped.slot((signal, reason)), count)
        why = drop(reason)
        level = logging.DEBUG if why.is_wanted else logging.WARNING
        self._log(f"{signal}/{reason}", "lost %d %s: %s [%s]", count, signal, why.what, reason, level=level)

    def stage_error(self, stage: str, error: BaseException) -> None:
        """Count a fault of slotel; it is logged once a minute."""
        self._stage.add(self._stage.slot((stage,)))
        self._log(
            f"stage/{stage}",
            "component %s failed, everything else works: %s: %s",
            stage,
            type(error).__name__,
            printable(error),
        )

    def tag_violation(self, tag: str, action: str) -> None:
        """Count a tag that was replaced or redacted."""
        self._tags.add(self._tags.slot((tag, action)))

    def tag_violation_cell(self, tag: str, action: str) -> int:
        """Return the cell that counts such tags, for callers that add to several cells at once."""
        return self._tags.slot((tag, action))

    def expect_sentry_errors(self, project_id: str, environment: str) -> None:
        """Create the series of a project with the value 0, so that `increase()` sees the first error."""
        self._sentry_slot(project_id, environment)

    def sentry_error(self, project_id: str, environment: str) -> None:
        """Count an error event that was passed to Sentry's transport."""
        self._sentry.add(self._sentry_slot(project_id, environment))

    def _sentry_slot(self, project_id: str, environment: str) -> int:
        return self._sentry.slot((self._sentry_project or project_id, environment, project_id))

    def _log(self, key: str, message: str, *values: object, level: int = logging.WARNING) -> None:
        now = time.monotonic()
        if now - self._logged.get(key, -LOG_EVERY) >= LOG_EVERY:
            self._logged[key] = now
            LOG.log(level, message, *values)


def _counter(store: Store, name: str, text: str, *labels: str) -> Counter:
    return store.counter(name, help=text, label_names=labels)


class Unsent:
    """Events and transactions that were accepted, and neither sent nor counted as lost yet. Thread-safe."""

    def __init__(self) -> None:
        self._table: Counter | None = None

    def count_in(self, store: Store) -> None:
        """Count in a store from now on."""
        self._table = store.internal(names.UNSENT, label_names=("signal",))

    def add(self, signal: str, count: int) -> None:
        """Change the number of pending events or transactions."""
        table = self._table
        if table is not None:
            table.add(table.slot((signal,)), count)


UNSENT: Final = Unsent()
"""The pending telemetry of this process."""
