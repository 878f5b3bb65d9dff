"""Jobs that Celery's worker loses: killed, over the hard time limit, revoked, ended by themselves; and two whose end is told late.

The broker is Redis. With PLAIN_DSN sentry-sdk alone is set up. As a program it sends the tasks it is given.
"""

import os
import signal
import sys
import time

import sentry_sdk
from celery import Celery

if os.environ.get("PLAIN_DSN"):
    sentry_sdk.init(os.environ["PLAIN_DSN"])

BROKER = os.environ["BROKER"]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BEGUN = set()
app = Celery("celery_ends", broker=BROKER, backend=BROKER)
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)


@app.task
def succeeds():
    return 1


@app.task(time_limit=0.5)
def too_long():
    time.sleep(60)


@app.task
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def ends_process():
    os._exit(0)


@app.task
def exits():
    sys.exit(1)


def revoke(task, name):
    app.control.revoke(task.request.id, terminate=True, signal=name)
    time.sleep(600)


@app.task(bind=True)
def terminated(self):
    revoke(self, "SIGTERM")


@app.task(bind=True)
def terminated_at_once(self):
    revoke(self, "SIGKILL")


class Breaking(app.Task):
    def on_failure(self, *args, **kwargs):
        raise RuntimeError("on_failure")


@app.task(base=Breaking)
def breaks():
    raise ValueError("breaks")


@app.task(bind=True, max_retries=2)
def retried(self):
    """Each run ends after the next one has begun, in another thread."""
    begun = self.request.retries
    BEGUN.add(begun)
    try:
        raise self.retry(exc=KeyError("retried"), countdown=0)
    finally:
        until = time.monotonic() + 60
        while begun < self.max_retries and begun + 1 not in BEGUN:
            assert time.monotonic() < until
            time.sleep(0.01)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        app.send_task(f"celery_ends.{name}", headers={"traceparent": TRACE})
