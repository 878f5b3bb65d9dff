"""Falcon: each path is a way in which a request can go right or wrong."""

import logging
import sys

import falcon
import plain


class Case:
    def __init__(self, act):
        self.act = act

    def on_get(self, request, response, **_more):
        response.text = "ok"
        self.act(request, response)

    def on_post(self, request, response):
        response.text = str(len(request.bounded_stream.read()))


def raising(error):
    def act(_request, _response):
        raise error

    return act


def returning(status):
    def act(_request, response):
        response.status = status

    return act


def leave(_request, _response):
    sys.exit(1)


def logged(_request, _response):
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")


def parts():
    yield b"part"
    raise ValueError("stream-breaks")


def stream(_request, response):
    response.text = None
    response.stream = iter([b"part"] * 3)


def stream_breaks(_request, response):
    response.text = None
    response.stream = parts()


def stream_fails(_request, response):
    response.text = None
    response.stream = plain.failing_parts()


application = falcon.App()
for path, act in {
    **{name: lambda _request, _response, act=act: act() for name, act in plain.ACTS.items()},
    "/ok": returning(200),
    "/items/{number}": returning(200),
    "/returned-404": returning(404),
    "/raised-404": raising(falcon.HTTPNotFound()),
    "/returned-500": returning(500),
    "/raised-503": raising(falcon.HTTPServiceUnavailable()),
    "/raises": raising(ValueError("raises")),
    "/status": raising(plain.QuotaError("status")),
    "/exit": leave,
    "/logged": logged,
    "/stream": stream,
    "/stream-breaks": stream_breaks,
    "/stream-fails": stream_fails,
    "/upload": returning(200),
}.items():
    application.add_route(path, Case(act))
