"""Two tasks of a shop, over Redis. Its only telemetry code sets a tag."""

import os

from celery import Celery

import slotel

app = Celery("shop", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))


@app.task
def send_receipt(order):
    slotel.set_custom_tags(team="orders")
    return f"receipt for {order}"


@app.task
def charge(order):
    raise RuntimeError("the payment provider is down")
