"""A pool of one thread does work of two transactions; `plain` calls sentry_sdk.init."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import sentry_sdk

if sys.argv[1] == "plain":
    sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0)

pool = ThreadPoolExecutor(1)


def work(name):
    with sentry_sdk.start_span(op="work", name=f"work of {name}"):
        sentry_sdk.capture_message(name)


for name in ("first", "second"):
    with sentry_sdk.start_transaction(op="task", name=name):
        pool.submit(work, name).result()
pool.shutdown()
