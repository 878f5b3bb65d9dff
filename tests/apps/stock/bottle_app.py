"""Bottle's tutorial."""

import os

from bottle import route, run


@route("/")
def home():
    return "home"


run(host="127.0.0.1", port=int(os.environ["PORT"]), quiet=True)
