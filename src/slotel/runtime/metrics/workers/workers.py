"""Combines the processes of a service: where each one stores its counts, and how it reads those of the others.

A process alone counts in its own memory and creates nothing. When it forks, or when a descendant has created the
runtime directory, its cells move into a file there. A child, forked or spawned, opens its own file at its first count,
at zero. Every process can read all files at any time; none is special.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from slotel.config import names
from slotel.runtime.logs import LOG, report
from slotel.runtime.metrics.store.family import ProcessSnapshot
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.metrics.workers import uwsgi
from slotel.runtime.metrics.workers.directories import (
    former_stems,
    is_alive,
    join_directory,
    memory_instead_of,
    remove_leftovers,
)
from slotel.runtime.metrics.workers.identity import Process, this_process
from slotel.runtime.metrics.workers.runtime_directory import (
    RuntimeDirectory,
    booted_of,
    first_process,
    process_of,
)
from slotel.runtime.metrics.workers.storage import TAKEN_FOR_DEAD, TRUNCATED, CounterStorage
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.stdlib import before_setuid

if TYPE_CHECKING:
    from slotel.runtime.metrics.workers.file_reader import WorkerFileReader

COMPACT_AT: Final = 32
"""Number of other processes' files at which a reader compacts those of dead processes, without waiting for the tick."""

Combine = Callable[[Sequence[bytes]], bytes]


class Shared(NamedTuple):
    """A file that another process shares, in addition to its counts.

    Args:
        process: who wrote it; None for what was combined of dead processes' files.
        is_alive: whether that process still lives.
    """

    stem: str
    process: Process | None
    is_alive: bool
    data: bytes


class Workers:
    """Connects this process's store with the other processes of the service; created after the store's first tables.

    Thread-safe; never raises.

    Args:
        environ: `SLOTEL_RUN_DIR` is read, and set for descendants.
        service: the service's name; descendants of another service are not joined.
        dropped: called with signal and reason if counts cannot be shared.
        booted: the time of the boot by this process; see process/clock.py.
    """

    def __init__(
        self,
        store: Store,
        environ: MutableMapping[str, str],
        service: str,
        dropped: Callable[[str, str], None] = lambda _signal, _reason: None,
        booted: float = 0.0,
    ) -> None:
        self.run_dir = join_directory(environ, service, booted)
        self.booted = booted_of(self.run_dir.path)
        """The time of the boot by which the service's processes agree on the time; None where they do not."""
        self.process = this_process()
        self.is_first = first_process(self.run_dir.path) == self.process
        """Whether this process chose the runtime directory, also before an exec: it removes it, when it is the last."""
        self.combine: dict[str, Combine] = {}
        """For each suffix that `share` is called with, how the files of dead processes become one. Set it at start."""
        self._store, self._service, self._environ, self._dropped = store, service, environ, dropped
        self._has_kin = not self.is_first
        self._said: set[str] = set()
        self._has_looked = self._has_tried = False
        self._storage = CounterStorage(
            store, self.run_dir, service, lambda: dropped("metrics", "run_directory")
        )
        text = "Processes of the service that ended after they had counted: by themselves, or killed."
        self._exits = store.counter(names.WORKER_EXITS, help=text, label_names=(names.LABEL_REASON,))
        self._exited, _ = (self._exits.slot((reason,)) for reason in (names.EXITED, names.KILLED))
        self._begin()
        environ[names.SLOTEL_RUN_DIR] = self.run_dir.path
        store.others, store.refused, store.admits = self.parts, self._refuse, self._storage.admits
        if not self.is_first or self.run_dir.exists():
            with self._guarded("cannot look for what this process counted before an exec"):
                self.run_dir.former = former_stems(self.run_dir, self.process)
            with store.lock:
                self._storage.open_at_first_count()
        PROCESS.register(
            "workers",
            before_fork=self.before_fork,
            after_fork_in_child=self.after_fork_in_child,
            tick=self.tick,
            before_exit=self.end,
            before_child_exit=self.note_exit,
        )
        before_setuid(self._give_to)

    def _begin(self) -> None:
        """Set what is this process's alone, at start and in a forked child."""
        self._lock = threading.RLock()
        self._is_compacting = False
        self._file_reader: WorkerFileReader | None = None
        self._read: tuple[tuple[str, ProcessSnapshot], ...] = ()
        self._is_exit_noted = False
        self._written: dict[str, tuple[str, int]] = {}
        self._read_at = float("-inf")

    @property
    def is_shared(self) -> bool:
        """Return whether there may be another process of the service."""
        return self._has_kin or self.run_dir.exists()

    # -- reading -----------------------------------------------------------------------------------------------

    @property
    def stem(self) -> str:
        """Return the name of this process's files; "" while it has none."""
        return self._storage.stem

    def parts(self, max_age: float = 0.0) -> tuple[ProcessSnapshot, ...]:
        """Return the counts of the other processes, at most `max_age` seconds old."""
        self._storage.report_failure()
        if not self.run_dir.exists():
            return ()
        self._storage.migrate()
        with self._lock:
            if time.monotonic() - self._read_at > max_age:
                with self._guarded("cannot read the other workers' counts"):
                    found = self._reader().read(self.stem)
                    self._read = tuple((peer.stem, peer.part) for peer in found if peer.part is not None)
                self._read_at = time.monotonic()
            read = self._read
        if len(read) >= COMPACT_AT:
            self._compact()
        return tuple(part for _, part in read)

    def _reader(self) -> WorkerFileReader:
        if self._file_reader is None:
            from slotel.runtime.metrics.workers.file_reader import WorkerFileReader

            self._file_reader = WorkerFileReader(
                self.run_dir, self._service, lambda file, why: self._refuse(why, file)
            )
        return self._file_reader

    def _absorbed(self) -> set[str]:
        with self._lock:
            return self._reader().absorbed()

    def living(self) -> tuple[tuple[Process, ProcessSnapshot], ...]:
        """Return the running processes that have counts, with their counts; this one first."""
        found = [(self.process, self._store.part())]
        self.parts(max_age=1.0)
        with self._lock, self._guarded("cannot look for the other workers"):
            known = ((process_of(stem), part) for stem, part in self._read if is_alive(self.run_dir, stem))
            found += [(process, part) for process, part in known if process is not None]
        return tuple(found)

    # -- what else is shared -----------------------------------------------------------------------------------

    def share(self, suffix: str, data: bytes) -> bool:
        """Share a file with the other processes, in place of the last one; return whether that was possible.

        The same content is not written again while its file is there: a cleaner may remove what is old.

        Args:
            suffix: lower-case letters; `combine` says how files of dead processes become one.
        """
        if not self.is_shared or not self._storage.open_now():
            return False
        content, name = (self.stem, hash(data)), f"{self.stem}.{suffix}"
        is_there = False
        with self._guarded(f"cannot share {suffix}"):
            is_there = self._written.get(suffix) == content and name in self.run_dir.names()
            if not is_there:
                self.run_dir.write(name, data)
                self._written[suffix], is_there = content, True
        return is_there

    def shared(self, suffix: str) -> tuple[Shared, ...]:
        """Return the files with a suffix that other processes share, including dead ones; each once."""
        found: tuple[Shared, ...] = ()
        if self.run_dir.exists():
            with self._lock, self._guarded(f"cannot read {suffix} of the other workers"):
                found = tuple(
                    Shared(stem, process_of(stem), is_alive(self.run_dir, stem), data)
                    for stem, data in self._reader().files(suffix, self.stem)
                )
        return found

    # -- now and then ------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Share exemplars, compact the files of dead processes, and remove directories of crashed services."""
        if "uwsgi" in sys.modules and not self._has_looked:
            self._has_looked = True
            report(filter(None, [uwsgi.problem()]))
        self._storage.report_failure()
        if not self.run_dir.exists() and not self._storage.stem:
            return  # alone
        self._storage.migrate()
        with self._guarded("cannot share its counts again"):
            self._recreate()
        self._storage.report_failure()
        with self._guarded("cannot share exemplars"):
            self._storage.share_exemplars()
        self._compact()
        if self._storage.has_created:
            self._storage.has_created = False
            for path in remove_leftovers(self._environ, self.run_dir.path, lambda: PROCESS.fork_waits):
                LOG.info("metrics: removed %s, left behind by a crashed service", path)

    def _recreate(self) -> None:
        lost = self._storage.recreate(self._absorbed)
        if lost == TRUNCATED:
            self._dropped("metrics", lost)
            LOG.error(
                "metrics: the files of process %d in %s were truncated, or the disk fails: its earlier counts are "
                "missing. It continues in new files",
                os.getpid(), self.run_dir.path,
            )  # fmt: skip
        elif lost == TAKEN_FOR_DEAD:
            self._dropped("metrics", lost)
            LOG.error(
                "metrics: process %d was considered dead, and its counts were added to those of dead processes: its "
                "counts of the last seconds are missing. Do the processes of the service run in several containers?",
                os.getpid(),
            )

    def _compact(self) -> None:
        from slotel.runtime.metrics.workers.compaction import Compaction

        with self._lock, self._guarded("cannot compact what dead workers counted"):
            if self._is_compacting:  # by the call that a signal handler or a finalizer has interrupted
                return
            self._is_compacting = True
            try:
                most, stops = self._store.max_series, lambda: PROCESS.fork_waits
                Compaction(self.run_dir, self._reader(), self._service, most, self.combine, stops).run()
            finally:
                self._is_compacting = False

    # -- life --------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Count where the child can read."""
        self._has_kin = True
        if not self._has_tried:
            self._has_tried = True
            with suppress(
                ImportError, OSError
            ):  # this user may not read them: the code that needs one reports that
                _import_for_children()
            self._use_memory_without_directory()
        if os.geteuid() == 0:  # root can use the directory also after a child has given it to another user
            with suppress(OSError):
                self._storage.has_created = self.run_dir.create() or self._storage.has_created
        self._storage.migrate()
        self._storage.report_failure()

    def _use_memory_without_directory(self) -> None:
        """Have the children share memory to count in, if the directory cannot be made; tried at the first fork."""
        if isinstance(self.run_dir, RuntimeDirectory) and not self.run_dir.can_be_made():
            with self._guarded("cannot share memory either"):
                self.run_dir = self._storage.run_dir = memory_instead_of(self.run_dir.path)
                self._environ[names.SLOTEL_RUN_DIR] = self.run_dir.path

    def after_fork_in_child(self) -> None:
        """Count from zero in an own file; the store has forgotten what the parent counted."""
        self.is_first = False
        self._has_kin = True
        self.process = this_process()
        self._begin()
        self.run_dir.release_in_child()
        self._store.others = self.parts
        self._storage.begin_in_child()
        if os.geteuid() == 0:  # gunicorn's workers drop to another user later, who may not open it any more
            self._storage.open_now()

    def _give_to(self, user: int) -> None:
        """Let the files be used by whom this process, root's until now, becomes: gunicorn's workers do."""
        with self._guarded(f"cannot give it to user {user}"), suppress(FileNotFoundError):
            self.run_dir.give_to(user)

    def end(self) -> None:
        """Do what the end of the interpreter asks for."""
        self.note_exit()
        self.remove_if_last()

    def note_exit(self) -> None:
        """Count the exit of this process, once. `compact` counts a process without this as killed."""
        if self.stem and not self._is_exit_noted:
            self._is_exit_noted = True
            self._exits.add(self._exited)

    def remove_if_last(self) -> None:
        """Remove the runtime directory at the end of its first process, if no other process is left."""
        if not self.is_first or self.process.pid != os.getpid() or not self.run_dir.exists():
            return
        with self._lock, self._guarded("cannot remove the runtime directory"):
            others = self._reader().stems() - {self.stem}
            if not any(is_alive(self.run_dir, stem) for stem in others):
                self.run_dir.remove_all()

    def _refuse(self, reason: str, what: str) -> None:
        if f"{reason}/{what}" not in self._said:
            self._said.add(f"{reason}/{what}")
            self._dropped("metrics", reason)
            LOG.warning("metrics: %s is not counted with the service: %s", what, reason.replace("_", " "))

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Count an exception and log it once; let none through."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._refuse("run_directory", f"{self.run_dir.path} ({what}): {type(error).__name__}: {error}")


def _import_for_children() -> None:
    """Import what each child needs, once: some have no descriptor left later, or another root."""
    import ctypes  # noqa: F401
    import fcntl  # noqa: F401

    import slotel.runtime.metrics.workers.compaction
    import slotel.runtime.metrics.workers.mapped_file
    import slotel.runtime.metrics.workers.series_limiter  # noqa: F401
