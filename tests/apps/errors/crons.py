"""Check-ins: of tasks that Celery's beat sends, and of code with `@sentry_sdk.crons.monitor`; the same under plain sentry-sdk and slotel."""

import asyncio
import os
from contextlib import suppress

import celery
import sentry_sdk
from celery.beat import Scheduler
from celery.contrib.testing.worker import start_worker
from celery.schedules import crontab, schedule
from sentry_sdk.crons import monitor
from sentry_sdk.integrations.celery import CeleryIntegration

sentry_sdk.init(
    os.environ["SENTRY_DSN"],
    release="r1",
    environment="live",
    traces_sample_rate=1.0,
    integrations=[CeleryIntegration(monitor_beat_tasks=True, exclude_beat_tasks=["unmonitored"])],
)
app = celery.Celery("crons", broker="memory://", backend="cache+memory://")
app.conf.worker_hijack_root_logger = False
app.conf.timezone = "Europe/Berlin"


@app.task(name="succeeds")
def succeeds():
    return 1


@app.task(name="fails")
def fails():
    raise ValueError("fails")


@app.task(name="repeats", bind=True, max_retries=1)
def repeats(self):
    raise self.retry(countdown=0, exc=ValueError("repeats"))


app.conf.beat_schedule = {
    "nightly": {"task": "succeeds", "schedule": crontab(minute="5", hour="3")},
    "hourly": {"task": "fails", "schedule": schedule(3600)},
    "daily": {"task": "repeats", "schedule": schedule(86400)},
    "unmonitored": {"task": "succeeds", "schedule": schedule(60)},
    "too often": {"task": "succeeds", "schedule": schedule(5)},
}
results = []
with start_worker(app, perform_ping_check=False, pool="solo"):
    beat = Scheduler(app, lazy=True)
    beat.setup_schedule()
    sent = beat.apply_async

    def apply_async(*given, **named):
        results.append(sent(*given, **named))
        return results[-1]

    beat.apply_async = apply_async
    for entry in beat.merge_inplace(app.conf.beat_schedule) or beat.schedule.values():
        if not entry.name.startswith("celery."):
            beat.apply_entry(entry)
    for result in results:
        with suppress(ValueError):
            result.get(timeout=60)


@monitor(monitor_slug="by hand", monitor_config={"schedule": {"type": "interval", "value": 1, "unit": "day"}})
def by_hand():
    """Monitored by a decorator."""


@monitor(monitor_slug="by hand, fails")
async def fails_by_hand():
    raise ValueError("fails by hand")


by_hand()
with suppress(ValueError):
    asyncio.run(fails_by_hand())
with monitor(monitor_slug="a block"):
    pass
sentry_sdk.flush(60)
