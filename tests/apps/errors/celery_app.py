"""Celery tasks that fail; the broker is a directory. As a program it sends the tasks it is given."""

import os
import sys

from celery import Celery
from opentelemetry import trace
from ways import WAYS

from slotel import set_custom_tags

BROKER = os.environ["APP_BROKER"]
app = Celery(
    "celery_app",
    broker="filesystem://",
    broker_transport_options={
        "data_folder_in": BROKER,
        "data_folder_out": BROKER,
        "processed_folder": BROKER,
        "control_folder": BROKER,
    },
)
app.conf.update(
    task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True
)


def here():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


class ExpectedError(Exception):
    pass


@app.task(name="shop.fail")
def fail(team):
    set_custom_tags(team=team)
    raise ValueError(here())


@app.task(name="shop.plain")
def plain():
    raise ValueError(here())


@app.task(name="shop.way")
def way(name):
    WAYS[name]()


@app.task(name="shop.reject", bind=True)
def reject(self):
    from celery.exceptions import Reject

    raise Reject("not now", requeue=False)


@app.task(name="shop.expected", throws=(ExpectedError,))
def expected():
    raise ExpectedError(here())


class UnpickledError(ValueError):
    """As many exceptions of libraries: pickle calls its class with one argument."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


@app.task(name="shop.unpickled")
def unpickled():
    raise UnpickledError(7, here())


class UnpickledExpectedError(ExpectedError):
    def __init__(self, code, detail):
        super().__init__(detail)


@app.task(name="shop.expected_unpickled", throws=(UnpickledExpectedError,))
def expected_unpickled():
    raise UnpickledExpectedError(7, here())


@app.task(name="shop.retry", bind=True, max_retries=1)
def retry(self):
    try:
        plain()
    except ValueError as error:
        raise self.retry(exc=error, countdown=0) from error


if __name__ == "__main__":
    for task in sys.argv[1:]:
        name, *args = task.split()
        app.send_task(name, args=args)
