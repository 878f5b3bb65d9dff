"""Spans for jobs of libraries without an instrumentation: each run is a local root, counted like a request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from time import time_ns
from typing import Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.requests.in_progress import InProgress
from slotel.runtime.requests.outcomes import JOB_STATE
from slotel.runtime.upstream.jobs.jobs import FAILED, Job
from slotel.runtime.upstream.otel.failure import failed_by, record

_TRACER: Final = "slotel.jobs"


class Jobs:
    """Makes the spans of jobs.

    Args:
        before_exit: called after a job whose process ends with it.
        in_progress: lists, for the other processes of the service, running jobs whose library reports no killed ones.
    """

    def __init__(self, before_exit: Callable[[], None], in_progress: InProgress) -> None:
        self._before_exit, self._in_progress = before_exit, in_progress

    def count_killed(self, library: str, state: str, started: int, *told: Any) -> None:
        """Count a job of another process of the service that was killed; `told` are the arguments of its Job."""
        job = Job(None, *told)
        job.state, job.started, job.stands_alone = state, started, True
        with self.serve(library, job):
            pass

    @contextlib.contextmanager
    def serve(self, library: str, job: Job) -> Iterator[None]:
        """Run a job within a span. A job that runs synchronously within a request becomes part of that request."""
        current = trace.get_current_span()
        if not job.stands_alone and current.is_recording():
            if job.has_span and getattr(current, "kind", None) is SpanKind.CONSUMER:
                with _deciding(current, job):
                    yield
            else:
                yield
            return
        parent = propagate.extract(dict(job.carrier), Context())
        attributes = {
            "messaging.system": library,
            "messaging.operation.type": "process",
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.job_id,
            "sentry.op": f"queue.task.{library}",
            **job.attributes,
        }
        span = trace.get_tracer(_TRACER).start_span(
            job.name,
            parent,
            SpanKind.CONSUMER,
            {name: value for name, value in attributes.items() if value},
            start_time=job.started,
        )
        token = context.attach(trace.set_span_in_context(span, parent))
        if job.if_killed is not None:
            told = job.name, job.queue, job.job_id, dict(job.carrier)
            self._in_progress.add({id(job): ("job", library, job.if_killed, time_ns(), *told)})
        try:
            try:
                with _deciding(span, job):
                    yield
            except BaseException:
                span.end()  # the exception is in flight: it is decided by
                raise
            span.end()
        finally:
            self._in_progress.remove(id(job))
            context.detach(token)
            if job.ends_process:
                self._before_exit()


def fail_current(error: Exception) -> None:
    """Mark the current span as failed by an exception. The exception is reported elsewhere."""
    trace.get_current_span().set_status(failed_by(error))


@contextlib.contextmanager
def _deciding(span: trace.Span, job: Job) -> Iterator[None]:
    """Record the outcome of a job on a span."""
    try:
        yield
    except BaseException as error:
        job.fail(error)
        _decide(span, job)
        raise
    _decide(span, job)


def _decide(span: trace.Span, job: Job) -> None:
    span.set_attribute(JOB_STATE, job.state)
    if job.error is not None:
        record(span, job.error)
    if job.state == FAILED and not job.is_expected:
        span.set_status(StatusCode.ERROR if job.error is None else failed_by(job.error))
