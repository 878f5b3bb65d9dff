"""A shop's front: asks the stock service. The instrumentation propagates the trace in the headers of the request."""

import os

import requests
from flask import Flask

STOCK = os.environ.get("STOCK_URL", "http://127.0.0.1:8001")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/items/<int:number>")
def item(number):
    answer = requests.get(f"{STOCK}/stock/{number}", timeout=5)
    answer.raise_for_status()
    return {"item": number, "in_stock": answer.json()["count"]}


if __name__ == "__main__":
    app.run(port=8000)
