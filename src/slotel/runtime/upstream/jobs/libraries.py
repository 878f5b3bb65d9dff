"""Job libraries that OpenTelemetry does not instrument: which methods run a job and report its outcome, a row for each.

Where sentry-sdk has an integration, the places are those that it patches, too: its error events are made within.
"""

from __future__ import annotations

import functools
import sys
from asyncio import CancelledError
from typing import Any, Final

from opentelemetry import trace

from slotel.runtime.upstream.jobs.celery import is_counted, lost_with_process
from slotel.runtime.upstream.jobs.jobs import FAILED, IGNORED, RETRIED, SUCCEEDED, Job, Runner, current_job


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
    """Return the job if RQ records that no process reported its outcome; None for any other failure."""
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
"""Start of RQ's text of a failure."""


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
    return Job(task, task.name, its.name, task.id, task.kwargs.get("sentry_headers"), if_killed=FAILED)


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
        job = current_job()
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
    """Return a job whose process was killed, and its span with it; the worker's main process knows the outcome."""
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
    job = current_job()
    if job is not None and job.job_id == task_id:
        job.fail(None)  # the error that Celery logs is the event


def _path(func: Any) -> str:
    """Return what names a function: a bounded number of names, unlike those that an application gives to its jobs."""
    while isinstance(func, functools.partial):
        func = func.func
    named = func if hasattr(func, "__qualname__") else type(func)
    return f"{named.__module__}.{named.__qualname__}"


def _begin_apscheduler(scheduled: Any) -> Job:
    job = Job(scheduled, _path(scheduled.func), scheduled.executor, scheduled.id, if_killed=FAILED)
    job.stands_alone = True
    return job


def _begin_procrastinate(_its: Any, context: Any) -> Job:
    job = context.job
    return Job(job, job.task_name, job.queue, job.id, if_killed=FAILED)


def _procrastinate_ended(
    job: Job, *_: Any, status: Any = None, job_retry: Any = None, exc_info: Any = None, **__: Any
) -> None:
    if job_retry is not None:
        job.state = RETRIED
    elif getattr(status, "value", "") == "aborted":
        job.state = IGNORED
    elif getattr(status, "value", "") == "failed":
        job.fail(exc_info if isinstance(exc_info, BaseException) else None)


def _begin_django_q(*_: Any, func: Any = None, task: Any = None, **__: Any) -> Job:
    name = task["func"] if isinstance(task["func"], str) else _path(func)
    return Job(task, name, task.get("cluster") or "", task["id"], if_killed=FAILED)


def _end_django_q(job: Job, *_: Any, **__: Any) -> None:
    if not job.given.get("success"):
        job.fail(None)  # the error that its monitor logs is the event


def _begin_django_task(_its: Any, found: Any) -> Job:
    return Job(found, found.task_path, found.queue_name, found.id, if_killed=FAILED)


def _django_task_failed(job: Job, its: Any, error: Any, *_: Any) -> None:
    if its is job.given:
        job.fail(error)


def _begin_saq(_its: Any, context: Any) -> Job | None:
    found = context["job"]
    if_killed = RETRIED if found.retryable else FAILED
    return Job(found, found.function, found.queue.name, found.id, if_killed=if_killed)


def _end_saq(job: Job, _its: Any, context: Any) -> None:
    status = str(getattr(job.given.status, "value", ""))
    if status == "failed":
        job.fail(context.get("exception"))
    elif status != "complete":
        job.state = IGNORED if status.startswith("abort") else RETRIED


class _Instructed(Job):
    """A job that may end by an exception with which it only says what becomes of it."""

    has_span = True

    def fail(self, error: BaseException | None) -> None:
        """Note what failed it, if that is a failure."""
        super().fail(error)
        if any(kind.__name__ in _INSTRUCTIONS for kind in type(error).__mro__):
            self.state, self.error = IGNORED, None


_INSTRUCTIONS: Final = frozenset({"NoResultError", "TaskRejectedError", "IgnoredException"})
"""Taskiq's and FastStream's: requeue, reject, stop."""


def _begin_taskiq(_its: Any, target: Any = None, message: Any = None, *_: Any, **__: Any) -> Job:
    del target
    return _Instructed(message, message.task_name, "", message.task_id, message.labels)


def _taskiq_has_result(job: Job, *_: Any, error: Any = None, **__: Any) -> None:
    if error is not None:
        job.fail(error)


def _taskiq_sends(job: Job, its: Any, *_: Any, **__: Any) -> None:
    """Note that a job sends itself again: every kind of retry gives the new run the same id."""
    if its.custom_task_id == job.job_id:
        job.state, job.error = RETRIED, None


def _begin_faststream(its: Any, *_: Any, **__: Any) -> Job | None:
    if any("Telemetry" in type(each).__name__ for each in getattr(its, "_broker_middlewares", ())):
        return None  # its own middleware makes the span
    named = getattr(its, "specification", None)
    return _Instructed(its, getattr(named, "call_name", type(its).__name__), "", "")


RUNNERS: Final = (
    Runner("celery", "celery.worker.request", "Request", "on_failure", _begin_celery),
    Runner(
        "rq", "rq.worker", "BaseWorker", "perform_job", _begin_rq, _end_rq,
        {("", "handle_exception"): _rq_failed}, other_owners=("Worker",),
    ),
    Runner("rq", "rq.worker", "BaseWorker", "handle_work_horse_killed", _begin_lost_rq, other_owners=("Worker",)),
    Runner("rq", "rq.job", "Job", "_handle_failure", _begin_given_up_rq),
    Runner(
        "dramatiq", "dramatiq.worker", "_WorkerThread", "process_message", _begin_dramatiq, _end_dramatiq,
        {("Broker", "emit_after"): _dramatiq_after},
    ),
    Runner("huey", "huey.api", "Huey", "_execute", _begin_huey, notes={("", "_emit"): _huey_signal}),
    Runner(
        "arq", "arq.worker", "Worker", "run_job", _begin_arq,
        notes={
            ("", "finish_job"): _arq_finishes,
            ("", "finish_failed_job"): lambda job, *_, **__: job.fail(None),
        },
    ),
    Runner("apscheduler", "apscheduler.executors.base", "", "run_job", _begin_apscheduler, is_func=True),
    Runner("apscheduler", "apscheduler.executors.base", "", "run_coroutine_job", _begin_apscheduler, is_func=True),
    Runner(
        "procrastinate", "procrastinate.worker", "Worker", "_process_job", _begin_procrastinate,
        notes={("", "_log_job_outcome"): _procrastinate_ended},
    ),
    Runner(
        "django-q2", "django_q.signals", "pre_execute", "send", _begin_django_q, _end_django_q,
        last=("post_execute_in_worker", "send"),
    ),
    Runner(
        "django-tasks-db", "django_tasks_db.management.commands.db_worker", "Worker", "run_task", _begin_django_task,
        notes={("DBTaskResult", "set_failed"): _django_task_failed},
    ),
    Runner(
        "taskiq", "taskiq.receiver.receiver", "Receiver", "run_task", _begin_taskiq,
        notes={
            ("TaskiqResult", "__init__"): _taskiq_has_result,
            ("taskiq.kicker:AsyncKicker", "_prepare_message"): _taskiq_sends,
        },
    ),
    Runner(
        "faststream", "faststream._internal.endpoint.subscriber.usecase", "SubscriberUsecase", "process_message",
        _begin_faststream,
    ),
    Runner("saq", "saq.worker", "Worker", "_before_process", _begin_saq, _end_saq, last=("", "_after_process")),
)  # fmt: skip
