"""A Flask service full of secrets."""

import os

import places

places.init_plain()

from flask import Flask, request  # noqa: E402 after Sentry, as its documentation says

app = Flask(__name__)


@app.route("/healthz")
def healthz():
    return "ok"


@app.route("/leak/<path>", methods=["POST"])
def leak(path):
    request.form.get("user")
    places.everything()
    places.boom()


if __name__ == "__main__":
    from waitress import serve

    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]), threads=2)
