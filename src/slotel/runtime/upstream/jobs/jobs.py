"""Surrounds the jobs of libraries that OpenTelemetry does not instrument; `libraries.py` says where they run.

A job is run by one method, lies between two calls, or is the `func` of an object that a function is given.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

if TYPE_CHECKING:
    _ObjectProxy = wrapt.ObjectProxy[Any]
else:
    _ObjectProxy = wrapt.ObjectProxy  # wrapt 1 has no generic one

SUCCEEDED: Final = "SUCCESS"
FAILED: Final = "FAILURE"
RETRIED: Final = "RETRY"
IGNORED: Final = "IGNORED"


class Job:
    """A run of a job.

    Attributes:
        given: the runner's argument: its object of the job, or the id.
        carrier: headers of the trace in which it was put into the queue.
        state: one of the constants above.
        is_expected: the application has declared this failure as expected.
        error: what failed it.
        ends_process: the process leaves by `os._exit` afterwards.
        has_span: a current CONSUMER span is its own: of an instrumentation that may not know what came of it.
        stands_alone: a scheduler has started it: it belongs to no request, even if the context has one.
        if_killed: its state if its process is killed and the library reports nothing.
        started: unix nanoseconds, of a job that is over already.
        attributes: further ones of its span.
        surroundings: the contexts to leave when a job ends that lies between two calls.
    """

    state = SUCCEEDED
    is_expected = False
    ends_process = False
    has_span = False
    stands_alone = False
    started: int | None = None
    attributes: Mapping[str, str] = MappingProxyType({})
    error: BaseException | None = None
    surroundings: ExitStack | None = None

    def __init__(
        self,
        given: Any,
        name: str,
        queue: str,
        job_id: str,
        carrier: Mapping[str, str] | None = None,
        if_killed: str | None = None,
    ) -> None:
        self.given, self.name, self.queue, self.job_id = given, name, queue, str(job_id)
        self.carrier, self.if_killed = carrier or {}, if_killed

    def fail(self, error: BaseException | None) -> None:
        """Note what failed it."""
        self.state, self.error = FAILED, error


_JOB: Final[ContextVar[Job | None]] = ContextVar("slotel-job", default=None)


@dataclass(frozen=True, eq=False)
class Runner:
    """A method or function that runs a job, from its call to its end or to the call of another one.

    Args:
        module: is patched when it is imported.
        owner: class of the method, or an object; empty: a function of the module.
        begin: returns the job for the method's arguments; None if it runs none.
        end: called with the job and the method's arguments.
        notes: methods that are called meanwhile (class, empty for the same, `module:class` for another's, and name) →
            called with the job and the method's arguments.
        last: class and name of the method that ends the job; empty where the call of `method` itself is the job.
        is_func: the job is the call of the attribute `func` of the object that the method is given first.
        other_owners: the class of the method is the first of all that has it.
    """

    library: str
    module: str
    owner: str
    method: str
    begin: Callable[..., Job | None]
    end: Callable[..., None] = lambda *_, **__: None
    notes: Mapping[tuple[str, str], Callable[..., None]] = field(default_factory=dict)
    last: tuple[str, str] | None = None
    is_func: bool = False
    other_owners: tuple[str, ...] = ()
    probes: dict[tuple[str, str], Probe] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Make a probe of each method."""
        for owner, method in (("", self.method), *self.notes, *filter(None, [self.last])):
            its = owner or self.owner
            self.probes[owner, method] = Probe(
                its if ":" in its else f"{self.module}:{its}" if its else self.module, method,
                why="a job of a library that nothing instruments is counted",
                without=f"jobs of {self.library} are not counted, or all as good",
            )  # fmt: skip

    def wrap(self, module: Any, owner: str, method: str, wrap: Callable[[Any], Any]) -> None:
        """Put a function before a method, in the first of the owners that has it."""
        if ":" in owner:  # of another module, which this one imports
            self.probes[owner, method].wrap_imported(wrap)
            return
        owners = (owner,) if owner else (self.owner, *self.other_owners)
        found = [getattr(module, each, None) for each in owners] if owners[0] else [module]
        has = [each for each in found if hasattr(each, method)]
        self.probes[owner, method].wrap((has or found)[0], wrap)


def current_job() -> Job | None:
    """Return the job that runs in this context."""
    return _JOB.get()


class JobWatch:
    """Surrounds every job of these libraries, once they are imported.

    Args:
        serve: returns the context manager around a job of a library.
        fault: called with an exception in this module; the job continues.
    """

    def __init__(
        self,
        runners: Iterable[Runner],
        serve: Callable[[str, Job], AbstractContextManager[Any]],
        fault: Callable[[Exception], None],
    ) -> None:
        self._serve, self._fault = serve, fault
        for runner in runners:
            wrapt.register_post_import_hook(functools.partial(self._patch, runner), runner.module)

    def _patch(self, runner: Runner, module: Any) -> None:
        surround = self._beginning if runner.last else self._giving if runner.is_func else self._running
        runner.wrap(module, "", runner.method, functools.partial(surround, runner))
        for (owner, method), note in runner.notes.items():
            runner.wrap(module, owner, method, functools.partial(self._noting, note))
        if runner.last:
            runner.wrap(module, *runner.last, functools.partial(self._ending, runner))

    def _running(self, runner: Runner, original: Any) -> Any:
        return self._inside(original, functools.partial(self._around, runner))

    def _inside(self, original: Any, around: Callable[..., AbstractContextManager[Any]]) -> Any:
        """Return a function that calls another one inside a context manager, which is given its arguments."""

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with around(*args, **kwargs):
                return await original(*args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            with around(*args, **kwargs):
                return original(*args, **kwargs)

        return run_async if inspect.iscoroutinefunction(original) else run

    @contextlib.contextmanager
    def _around(self, runner: Runner, *args: Any, **kwargs: Any) -> Iterator[None]:
        job: Job | None = self._guarded(runner.begin, *args, **kwargs)
        if job is None:
            yield
            return
        with self._current(runner, job):
            yield
            self._guarded(runner.end, job, *args, **kwargs)

    @contextlib.contextmanager
    def _current(self, runner: Runner, job: Job) -> Iterator[None]:
        with self._serve(runner.library, job):
            token = _JOB.set(job)
            try:
                yield
            finally:
                _JOB.reset(token)

    def _giving(self, runner: Runner, original: Any) -> Any:
        """Give the function an object like its own, whose `func` is surrounded."""

        def run(given: Any, *args: Any, **kwargs: Any) -> Any:
            return original(self._guarded(surrounded, given) or given, *args, **kwargs)

        def surrounded(given: Any) -> Any:
            func = self._inside(given.func, lambda *_, **__: self._around(runner, given))
            return _WithFunc(given, func)

        return run

    def _beginning(self, runner: Runner, original: Any) -> Any:
        def begin(*args: Any, **kwargs: Any) -> None:
            job = runner.begin(*args, **kwargs)
            if job is not None:
                job.surroundings = stack = ExitStack()
                stack.enter_context(self._current(runner, job))

        def first(*args: Any, **kwargs: Any) -> Any:
            self._guarded(begin, *args, **kwargs)
            return original(*args, **kwargs)

        return first

    def _ending(self, runner: Runner, original: Any) -> Any:
        @contextlib.contextmanager
        def around(*args: Any, **kwargs: Any) -> Iterator[None]:
            try:
                yield
            finally:
                self._guarded(end, *args, **kwargs)

        def end(*args: Any, **kwargs: Any) -> None:
            job = _JOB.get()
            if job is not None and job.surroundings is not None:
                self._guarded(runner.end, job, *args, **kwargs)
                job.surroundings.close()

        return self._inside(original, around)

    def _noting(self, note: Callable[..., None], original: Any) -> Any:
        def method(*args: Any, **kwargs: Any) -> Any:
            job = _JOB.get()
            if job is not None:
                self._guarded(note, job, *args, **kwargs)
            return original(*args, **kwargs)

        return method

    def _guarded(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._fault(error)
            return None


class _WithFunc(_ObjectProxy):
    """An object whose attribute `func` is another function."""

    def __init__(self, given: Any, func: Any) -> None:
        super().__init__(given)
        self._self_func = func

    @property
    def func(self) -> Any:
        """The function instead of its own."""
        return self._self_func
