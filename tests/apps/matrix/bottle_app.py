"""Bottle: each path is a way in which a request can go right or wrong."""

import logging

import plain
from bottle import Bottle, HTTPResponse, abort, request


def logged():
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")


def raising(error):
    def act():
        raise error

    return act


def parts(*, breaks=False):
    yield b"part"
    if breaks:
        raise ValueError("stream-breaks")


application, sub = Bottle(), Bottle()
ACTS = {
    **plain.ACTS,
    "/ok": lambda: "ok",
    "/items/<number:int>": lambda: "ok",
    "/returned-404": lambda: HTTPResponse("no", 404),
    "/raised-404": lambda: abort(404),
    "/returned-500": lambda: HTTPResponse("no", 500),
    "/raises": raising(ValueError("raises")),
    "/status": raising(plain.QuotaError("status")),
    "/logged": logged,
    "/stream": parts,
    "/stream-breaks": lambda: parts(breaks=True),
    "/stream-fails": plain.failing_parts,
}
for path, act in ACTS.items():
    application.route(path, callback=lambda act=act, **_given: act() or "ok")
application.route("/upload", "POST", lambda: str(len(request.body.read())))
sub.route("/ok", callback=lambda: "ok")
sub.route("/raises", callback=raising(ValueError("raises")))
application.mount("/sub", sub)
