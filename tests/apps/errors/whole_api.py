"""Uses what sentry-sdk has beside its spans, with many options at once: in threads, tasks, scopes, logs, monitors, metrics."""

import asyncio
import datetime as dt
import decimal
import enum
import json
import logging
import os
import pathlib
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import sentry_sdk
from sentry_sdk.crons import capture_checkin, monitor
from sentry_sdk.feature_flags import add_feature_flag


class Colour(enum.Enum):
    RED = "red"


ODD = {
    "when": dt.datetime(2026, 11, 30, 18, tzinfo=dt.timezone.utc),
    "price": decimal.Decimal("1.10"),
    "colour": Colour.RED,
    "id": uuid.UUID(int=3),
    "raw": b"tea",
    "where": pathlib.PurePosixPath("/srv"),
    "number": 7,
    "is": True,
    "none": None,
}


def before_send(event, hint):
    event.setdefault("tags", {})["hook"] = "error"
    event["tags"]["hint"] = ", ".join(sorted(hint))
    if hint.get("exc_info") and hint["exc_info"][1] is twice and not dropped:
        dropped.append(event)
        return None
    return None if event.get("message") == "unwanted" else event


twice = ValueError("dropped by before_send at first")
dropped = []


def before_send_transaction(event, hint):
    event.setdefault("tags", {})["hook"] = "transaction"
    return event


def fail(kind, text):
    local = "v" * 80
    try:
        raise kind(text)
    except Exception as error:
        return sentry_sdk.capture_exception(error), local


def escape():
    raise ValueError("escapes a thread")


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


async def tasks():
    async def task():
        fail(ValueError, "in a task")

    await asyncio.gather(asyncio.create_task(task()), asyncio.to_thread(fail, ValueError, "to a thread"))


sentry_sdk.init(
    os.environ["SENTRY_DSN"], traces_sample_rate=1.0, release="rel", environment="env", server_name="srv", dist="d1",
    before_breadcrumb=lambda crumb, hint: None if crumb.get("category") == "unwanted" else crumb,
    before_send=before_send, before_send_transaction=before_send_transaction, max_breadcrumbs=3, max_value_length=50,
    ignore_errors=[KeyError, "ZeroDivisionError"], attach_stacktrace=True, in_app_include=["json"], enable_logs=True,
    error_sampler=lambda event, hint: 0.0 if "sampled out" in str(hint.get("exc_info")) else 1.0,
)  # fmt: skip
found = {"initialized": sentry_sdk.is_initialized(), "active": sentry_sdk.get_client().is_active()}
found["last event"] = fail(ValueError, "first")[0] == sentry_sdk.last_event_id()
for kind, text in ((KeyError, "ignored"), (ZeroDivisionError, "ignored"), (ValueError, "sampled out")):
    fail(kind, text)
sentry_sdk.capture_message("unwanted")
for _ in range(2):
    try:
        raise twice
    except ValueError:
        sentry_sdk.capture_exception()
sentry_sdk.capture_message("with a stack")
for number in range(5):
    sentry_sdk.add_breadcrumb(category="wanted", message=f"crumb {number}")
sentry_sdk.add_breadcrumb(category="unwanted", message="unwanted")
with sentry_sdk.new_scope() as scope:
    scope.set_tag("new", "1")
    scope.fingerprint = ["mine"]
    scope.set_level("warning")
    fail(ValueError, "in a new scope")
with sentry_sdk.isolation_scope() as scope:
    scope.set_tag("isolated", "1")
    scope.add_attachment(bytes=b"attached", filename="a.txt")
    fail(ValueError, "in an isolation scope")
in_thread(fail, ValueError, "in a thread")
in_thread(escape)
with ThreadPoolExecutor(1) as executor:
    executor.submit(fail, ValueError, "in an executor").result()
asyncio.run(tasks())
try:
    try:
        raise ValueError("cause")
    except ValueError as error:
        raise RuntimeError("effect") from error
except RuntimeError as error:
    if sys.version_info >= (3, 11):
        error.add_note("a note")
    sentry_sdk.capture_exception(error)
if sys.version_info >= (3, 11):
    sentry_sdk.capture_exception(ExceptionGroup("group", [ValueError("a"), TypeError("b")]))  # noqa: F821 since 3.11
log = logging.getLogger("app")
log.error("logged %s", "argument", extra={"more": 1})
try:
    int("x")
except ValueError:
    log.exception("logged exception")
log.warning("a breadcrumb")


@monitor(monitor_slug="job", monitor_config={"schedule": {"type": "crontab", "value": "0 0 * * *"}})
def job():
    return 1


job()
try:
    with monitor(monitor_slug="failing job"):
        raise ValueError("in a monitor")
except ValueError as error:
    sentry_sdk.capture_exception(error)
capture_checkin(monitor_slug="by hand", status="ok", duration=1.5)
sentry_sdk.capture_event(
    {"message": "by hand", "level": "info", "extra": {"x": 1}, "tags": {"t": "u"}, "fingerprint": ["z"], "contexts": {"c": {"d": 1}}}
)  # fmt: skip
if hasattr(sentry_sdk, "metrics") and hasattr(sentry_sdk.metrics, "count"):
    sentry_sdk.metrics.count("hits", 3, attributes={"a": "b"})
    sentry_sdk.metrics.gauge("level", 1)
if hasattr(sentry_sdk, "logger"):
    sentry_sdk.logger.warning("sentry log {a}", a=5)
with sentry_sdk.start_transaction(name="transaction", op="script") as transaction:
    transaction.set_measurement("m", 1.5, "second")
    with sentry_sdk.start_span(op="sub", name="sub"):
        pass
    sentry_sdk.set_context("of the code", {"a": 1})
    transaction.set_context("of the transaction", {"a": [1, {"b": None}]})
    transaction.set_data("nested", {"cart": [1, 2], "of": {"user": 7}})
    with sentry_sdk.start_span(op="data", name="data") as span:
        span.set_data("nested", [1, 2.5, "tea", {"deep": [True]}])
        for number in range(12):
            add_feature_flag(f"flag {number}", number % 2 == 0)
    fail(ValueError, "in a transaction")
with sentry_sdk.new_scope() as scope:
    for name, value in ODD.items():
        scope.set_tag(name, value)
    sentry_sdk.capture_message("odd tags")
    with sentry_sdk.start_transaction(name="odd " * 20, op="script") as transaction:
        transaction.set_data("nested", "long " * 20)
        with sentry_sdk.start_span(op="long", name="long " * 20):
            pass
with sentry_sdk.isolation_scope() as scope:
    scope.add_attachment(bytes=b"of each", filename="each.txt", add_to_transactions=True)
    scope.add_attachment(bytes=b"of errors", filename="errors.txt")
    with sentry_sdk.start_transaction(name="attached", op="script"):
        pass
with sentry_sdk.start_transaction(name="after it", op="script"):
    sentry_sdk.capture_message("after it")
sentry_sdk.flush(30)
print(json.dumps(found))
