"""Where jobs run that OpenTelemetry does not instrument, and what tells what came of them: a row for each library.

The places are those that sentry-sdk's integrations patch, too: its error events are made within.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import wrapt
from opentelemetry import trace

from slotel.runtime.upstream.celery import is_counted, lost_with_process
from slotel.runtime.upstream.probe import Probe

SUCCEEDED: Final = "SUCCESS"
FAILED: Final = "FAILURE"
RETRIED: Final = "RETRY"
IGNORED: Final = "IGNORED"


class Job:
    """A run of a job.

    Attributes:
        given: what the runner was given: its object of the job, or the id.
        carrier: headers of the trace in which it was put into the queue.
        state: one of the constants above.
        is_expected: the application has declared this failure as expected.
        error: what failed it.
        ends_process: the process leaves by `os._exit` afterwards.
        started: unix nanoseconds, of a job that is over already.
        attributes: further ones of its span.
    """

    state = SUCCEEDED
    is_expected = False
    ends_process = False
    started: int | None = None
    attributes: Mapping[str, str] = MappingProxyType({})
    error: BaseException | None = None

    def __init__(
        self, given: Any, name: str, queue: str, job_id: str, carrier: Mapping[str, str] | None = None
    ) -> None:
        self.given, self.name, self.queue, self.job_id = given, name, queue, str(job_id)
        self.carrier = carrier or {}

    def fail(self, error: BaseException | None) -> None:
        """Note what failed it."""
        self.state, self.error = FAILED, error


_JOB: Final[ContextVar[Job | None]] = ContextVar("slotel-job", default=None)


class Runner(NamedTuple):
    """A method that runs one job.

    Args:
        module: is patched when it is imported.
        owners: the class of the method is the first of these that has it.
        begin: gives the job for what the method is given; None if it runs none.
        end: is told the job and what the method was given.
        notes: methods that are called meanwhile (class, empty for the same, and name) → is told the job and what the
            method is given.
    """

    library: str
    module: str
    owners: tuple[str, ...]
    method: str
    begin: Callable[..., Job | None]
    end: Callable[..., None] = lambda *_, **__: None
    notes: Mapping[tuple[str, str], Callable[..., None]] = {}

    def probe(self, owner: str, method: str) -> Probe:
        """Return the probe of a method."""
        return Probe(
            f"{self.module}:{owner}", method,
            why="a job of a library that nothing instruments is counted",
            without=f"jobs of {self.library} are not counted, or all as good",
        )  # fmt: skip


def _begin_rq(its: Any, job: Any, queue: Any, *_: Any) -> Job:
    found = Job(job, job.func_name, queue.name, job.id, job.meta.get("_sentry_trace_headers"))
    found.ends_process = bool(getattr(its, "is_horse", False))
    return found


def _end_rq(job: Job, *_: Any, **__: Any) -> None:
    status = str(getattr(job.given.get_status(refresh=False), "value", ""))
    job.state = {"finished": SUCCEEDED, "failed": FAILED, "stopped": IGNORED}.get(status, RETRIED)


def _rq_failed(job: Job, _its: Any, _job: Any, _kind: Any = None, error: Any = None, *_: Any) -> None:
    job.error = error


def _begin_lost_rq(_its: Any, job: Any, *_: Any, **__: Any) -> Job:
    """Begin a job whose process is gone, with the span: RQ's worker calls this if the job has no result."""
    return _lost_rq(job, RETRIED if job.retries_left else FAILED)


def _begin_given_up_rq(its: Any, exc_string: Any = "", *_: Any, **__: Any) -> Job | None:
    """Begin a job of which no process tells what came of it, where RQ writes that down; None for any other failure."""
    state = next((state for text, state in _RQ_WRITES.items() if str(exc_string).startswith(text)), None)
    return None if state is None else _lost_rq(its, state)


def _lost_rq(job: Any, state: str) -> Job:
    found = Job(job, job.func_name, job.origin, job.id, job.meta.get("_sentry_trace_headers"))
    found.state = state
    found.started = int(job.started_at.timestamp() * 1e9) if job.started_at else None
    return found


_RQ_WRITES: Final = {
    "Moved to FailedJobRegistry": FAILED,  # its process and its worker are gone, or it has ended its process with 0
    "Job was stuck in intermediate queue": FAILED,  # its worker was gone before it began
    "Job stopped by user": IGNORED,
}
"""How RQ's text of a failure begins."""


def _begin_dramatiq(_its: Any, message: Any) -> Job:
    headers = None if "retries" in message.options else message.options.get("_sentry_headers")
    return Job(message, message.actor_name, message.queue_name, message.message_id, headers)


def _dramatiq_after(job: Job, _its: Any, signal: str, message: Any = None, *_: Any, **more: Any) -> None:
    if message is job.given and signal == "skip_message":
        job.state = IGNORED
    elif message is job.given and signal == "process_message" and more.get("exception") is not None:
        job.fail(more["exception"])


def _end_dramatiq(job: Job, its: Any, message: Any) -> None:
    if job.error is None:
        return
    actor = its.broker.actors.get(message.actor_name)
    throws = message.options.get("throws") or (actor.options.get("throws") if actor is not None else None)
    job.is_expected = isinstance(job.error, throws or ())
    if not message.failed and any(type(each).__name__ == "Retries" for each in its.broker.middleware):
        job.state = RETRIED


def _begin_huey(its: Any, task: Any, *_: Any) -> Job:
    return Job(task, task.name, its.name, task.id, task.kwargs.get("sentry_headers"))


def _huey_signal(job: Job, _its: Any, signal: str, task: Any = None, *more: Any) -> None:
    """Note a signal: the last one tells, `retrying` comes after `error`."""
    if task is not job.given:
        return
    if signal in {"error", "timeout"}:
        job.fail(more[0] if more else None)
    elif signal == "retrying":
        job.state = RETRIED
    elif signal in {"canceled", "locked", "rate-limited", "interrupted"}:
        job.state = IGNORED


def _begin_arq(its: Any, job_id: Any, *_: Any) -> Job:
    for function in its.functions.values():
        if not hasattr(function.coroutine, _TELLS):
            function.coroutine = _telling(function.coroutine, function.name, its)
    return Job(job_id, "unknown arq task", its.queue_name, job_id)


def _telling(coroutine: Any, name: str, its: Any) -> Any:
    @functools.wraps(coroutine)
    async def run(*args: Any, **kwargs: Any) -> Any:
        job = _JOB.get()
        trace.get_current_span().update_name(name)
        try:
            return await coroutine(*args, **kwargs)
        except BaseException as error:
            if job is not None:
                job.fail(error)
                if isinstance(error, CancelledError) and job.given in its.aborting_tasks:
                    job.state = IGNORED
            raise

    setattr(run, _TELLS, True)
    return run


_TELLS: Final = "_slotel_tells"


def _arq_finishes(job: Job, _its: Any, _id: Any, is_over: Any = True, *_: Any, **__: Any) -> None:
    if not is_over:
        job.state = RETRIED


def _begin_celery(its: Any, exc_info: Any, *_: Any, **__: Any) -> Job | None:
    """Begin a job whose process is gone: its span ended with it. The worker's main process tells what became of it."""
    if not is_counted() or not lost_with_process(exc_info.exception):
        return None
    signals: Any = sys.modules["celery.signals"]
    signals.task_failure.connect(_celery_failed, weak=False, dispatch_uid="slotel-lost-jobs")
    routing = (its.request_dict.get("delivery_info") or {}).get("routing_key")
    job = Job(its, f"run/{its.name}", routing or "", its.id, its.request_dict)
    job.state = RETRIED  # unless Celery says that it has failed
    job.started = int(its.time_start * 1e9) if its.time_start else None
    job.attributes = {"celery.action": "run", "celery.task_name": its.name}
    return job


def _celery_failed(task_id: Any = None, **_: Any) -> None:
    job = _JOB.get()
    if job is not None and job.job_id == task_id:
        job.fail(None)  # the error that Celery logs is the event


RUNNERS: Final = (
    Runner("celery", "celery.worker.request", ("Request",), "on_failure", _begin_celery),
    Runner(
        "rq", "rq.worker", ("BaseWorker", "Worker"), "perform_job", _begin_rq, _end_rq,
        {("", "handle_exception"): _rq_failed},
    ),
    Runner("rq", "rq.worker", ("BaseWorker", "Worker"), "handle_work_horse_killed", _begin_lost_rq),
    Runner("rq", "rq.job", ("Job",), "_handle_failure", _begin_given_up_rq),
    Runner(
        "dramatiq", "dramatiq.worker", ("_WorkerThread",), "process_message", _begin_dramatiq, _end_dramatiq,
        {("Broker", "emit_after"): _dramatiq_after},
    ),
    Runner("huey", "huey.api", ("Huey",), "_execute", _begin_huey, notes={("", "_emit"): _huey_signal}),
    Runner(
        "arq", "arq.worker", ("Worker",), "run_job", _begin_arq,
        notes={
            ("", "finish_job"): _arq_finishes,
            ("", "finish_failed_job"): lambda job, *_, **__: job.fail(None),
        },
    ),
)  # fmt: skip


_PROBES: Final = {
    (runner.library, method): runner.probe(owner or runner.owners[0], method)
    for runner in RUNNERS
    for owner, method in ((runner.owners[0], runner.method), *runner.notes)
}


class JobWatch:
    """Surrounds every job of these libraries, once they are imported.

    Args:
        serve: gives what surrounds a job of a library.
        fault: told what fails in here; the job runs on.
    """

    def __init__(
        self,
        serve: Callable[[str, Job], AbstractContextManager[Any]],
        fault: Callable[[Exception], None],
    ) -> None:
        self._serve, self._fault = serve, fault
        for runner in RUNNERS:
            wrapt.register_post_import_hook(functools.partial(self._patch, runner), runner.module)

    def _patch(self, runner: Runner, module: Any) -> None:
        owner = next(
            (each for each in runner.owners if hasattr(getattr(module, each, None), runner.method)),
            runner.owners[0],
        )
        _PROBES[runner.library, runner.method].wrap(
            getattr(module, owner, module), functools.partial(self._running, runner)
        )
        for (given, method), note in runner.notes.items():
            kind = getattr(module, given or owner, module)
            _PROBES[runner.library, method].wrap(kind, functools.partial(self._noting, note))

    def _running(self, runner: Runner, original: Any) -> Any:
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with self._around(runner, args, kwargs):
                return await original(*args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            with self._around(runner, args, kwargs):
                return original(*args, **kwargs)

        return run_async if inspect.iscoroutinefunction(original) else run

    @contextlib.contextmanager
    def _around(self, runner: Runner, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
        job: Job | None = self._guarded(runner.begin, *args, **kwargs)
        if job is None:
            yield
            return
        with self._serve(runner.library, job):
            token = _JOB.set(job)
            try:
                yield
                self._guarded(runner.end, job, *args, **kwargs)
            finally:
                _JOB.reset(token)

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
