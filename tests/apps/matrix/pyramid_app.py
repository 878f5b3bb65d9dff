"""Pyramid: each path is a way in which a request can go right or wrong."""

import logging
import sys

import plain
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound, HTTPServiceUnavailable
from pyramid.response import Response


def ok(_request):
    return Response("ok")


def returned(status):
    return lambda _request: Response("no", status=status)


def raising(error):
    def view(_request):
        raise error

    return view


def acting(act):
    return lambda _request: (act(), Response("ok"))[1]


def leave(_request):
    sys.exit(1)


def logged(_request):
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")
    return Response("ok")


def stream(_request):
    return Response(app_iter=iter([b"part"] * 3))


def stream_breaks(_request):
    def parts():
        yield b"part"
        raise ValueError("stream-breaks")

    return Response(app_iter=parts())


def upload(request):
    return Response(str(len(request.body)))


with Configurator() as config:
    for path, view in {
        **{name: acting(act) for name, act in plain.ACTS.items()},
        "/ok": ok,
        "/items/{number}": ok,
        "/returned-404": returned(404),
        "/raised-404": raising(HTTPNotFound()),
        "/returned-500": returned(500),
        "/raised-503": raising(HTTPServiceUnavailable()),
        "/raises": raising(ValueError("raises")),
        "/status": raising(plain.QuotaError("status")),
        "/exit": leave,
        "/logged": logged,
        "/stream": stream,
        "/stream-breaks": stream_breaks,
        "/too-short": lambda _request: Response(app_iter=[b"ok"], content_length=100),
        "/stream-fails": lambda _request: Response(app_iter=plain.failing_parts()),
        "/upload": upload,
    }.items():
        config.add_route(path, path)
        config.add_view(view, route_name=path)
    application = config.make_wsgi_app()
