"""A service of a chain: /buy/<outcome> asks the next one, if there is any; the last one may fail."""

import os

import requests
from flask import Flask

app = Flask(__name__)
NEXT = os.environ.get("NEXT_URL", "")


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/buy/<outcome>")
def buy(outcome):
    if NEXT:
        answer = requests.get(f"{NEXT}/buy/{outcome}", timeout=10)
        return answer.text, 200 if answer.ok else 502
    if outcome == "fail":
        raise RuntimeError("sold out")
    return "bought"


if __name__ == "__main__":
    from waitress import serve

    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]), threads=4, _quiet=True)
