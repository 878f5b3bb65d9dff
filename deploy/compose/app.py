"""A checkout that works, waits and fails on request. It knows nothing of slotel, under which it is started."""

import random
import time

from flask import Flask

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return "ok\n"


@app.get("/items/<int:number>")
def item(number):
    time.sleep(random.uniform(0.002, 0.02))
    return f"item {number}\n"


@app.get("/slow")
def slow():
    time.sleep(0.5)
    return "slow\n"


@app.get("/error")
def error():
    raise RuntimeError("asked for")
