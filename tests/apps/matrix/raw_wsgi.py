"""A bare WSGI application: nothing instruments it. Each path is a way in which a request can go right or wrong."""

import os
import sys
import time

import plain

UNKNOWN = object()


def application(environ, start_response):  # noqa: PLR0911 one for each path
    path = environ["PATH_INFO"]

    def answer(status, body=b"ok", *, length=True):
        headers = [("Content-Type", "text/plain")]
        if length:
            headers.append(("Content-Length", str(len(body))))
        start_response(status, headers)
        return [body]

    if path == "/ok":
        return answer("200 OK")
    if path == "/returned-404":
        return answer("404 Not Found")
    if path == "/returned-500":
        return answer("500 Internal Server Error")
    if path == "/raises":
        raise ValueError("raises")
    if path in plain.ACTS:
        plain.ACTS[path]()
        return answer("200 OK")
    if path == "/exit":
        sys.exit(1)
    if path == "/stream":
        answer("200 OK", length=False)
        return (b"part" for _ in range(3))
    if path == "/stream-breaks":
        answer("200 OK", length=False)
        return breaking()
    if path == "/stream-fails":
        answer("200 OK", length=False)
        return plain.failing_parts()
    if path == "/begun-raises":
        answer("200 OK", length=False)
        raise ValueError("begun-raises")
    if path == "/refused-header":
        start_response("200 OK", [("X-Shop", "a\nb"), ("Content-Length", "2")])
        return [b"ok"]
    if path == "/sized-stream-breaks":
        start_response("200 OK", [("Content-Length", "100")])
        return breaking("sized-stream-breaks")
    if path == "/too-short":
        start_response("200 OK", [("Content-Length", "100")])
        return [b"ok"]
    if path == "/no-bytes":
        answer("200 OK", length=False)
        return ["text"]
    if path == "/not-started":
        return [b"ok"]
    if path == "/upload":
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        return answer("200 OK")
    if path == "/endless":
        answer("200 OK", length=False)
        return endless()
    return answer("404 Not Found")


if os.environ.get("PLAIN"):  # the oracle of an application that no integration knows
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

    application = SentryWsgiMiddleware(application)


def breaking(why="stream-breaks"):
    yield b"part"
    raise ValueError(why)


def endless():
    while True:
        yield b"x" * 65536
        time.sleep(0.01)
