"""Tornado, its own server: each path is a way in which a request can go right or wrong."""

import asyncio
import logging
import os

import plain
from tornado.web import Application, FallbackHandler, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler
from tornado.wsgi import WSGIContainer


class Case(RequestHandler):
    def initialize(self, name):
        self.name = name

    async def get(self):
        name = self.name
        if name == "returned-404":
            self.set_status(404)
        elif name == "raised-404":
            raise HTTPError(404)
        elif name == "returned-500":
            self.set_status(500)
        elif name == "raised-503":
            raise HTTPError(503)
        elif name == "raises":
            raise ValueError("raises")
        elif name == "status":
            raise plain.QuotaError("status")
        elif name == "logged":
            try:
                raise KeyError("logged")
            except KeyError:
                logging.getLogger("shop").exception("logged")
        elif f"/{name}" in plain.ACTS:
            plain.ACTS[f"/{name}"]()
        elif f"/{name}" in plain.ASYNC_ACTS:
            await plain.ASYNC_ACTS[f"/{name}"]()
        elif name == "stream-breaks":
            self.write(b"part")
            await self.flush()
            raise ValueError("stream-breaks")
        elif name == "sized-stream-breaks":
            self.set_header("Content-Length", "100")
            self.write(b"part")
            await self.flush()
            raise ValueError("sized-stream-breaks")
        elif name == "unfinished":
            self.set_header("Content-Length", "100")
        elif name == "raises-after":
            await self.finish("ok")
            raise ValueError("raises-after")
        elif name == "raises-404-after":  # as Jupyter's handlers of contents do
            self.set_status(404)
            await self.finish("no such notebook")
            raise HTTPError(404)
        while name == "endless":
            self.write(b"x" * 65536)
            await self.flush()
            await asyncio.sleep(0.01)
        self.write("ok")

    def post(self):
        self.write(str(len(self.request.body)))


class PrepareRaises(RequestHandler):
    def prepare(self):
        raise ValueError("prepare-raises")

    def get(self):
        self.write("ok")


class FinishRaises(RequestHandler):
    def get(self):
        self.write("ok")

    def on_finish(self):
        raise ValueError("finish-raises")


class Handled(RequestHandler):
    def get(self):
        raise ValueError("handled")

    def write_error(self, _status, **_more):
        self.set_status(402)
        self.finish("declined")


class ErrorFails(RequestHandler):
    def get(self):
        raise ValueError("error-fails")

    def write_error(self, _status, **_more):
        self.set_header("Content-Length", "100")
        self.finish("short")


class Item(RequestHandler):
    def get(self, number):
        self.write(number)


class Socket(WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


class FailingSocket(WebSocketHandler):
    async def open(self):
        raise ValueError("socket-fails")


def within(environ, start_response):
    """Serve what a FallbackHandler hands on to; of an exception here Tornado makes no answer at all."""
    is_good = environ["PATH_INFO"] == "/wsgi/ok"
    start_response("200 OK" if is_good else "500 Internal Server Error", [("Content-Length", "2")])
    return [b"ok"]


FALLBACK = {"fallback": WSGIContainer(within)}
PATHS = ("/wsgi/ok", "/wsgi/returned-500")
NAMES = (
    "ok", "returned-404", "raised-404", "returned-500", "raised-503", "raises", "status", "logged", "stream-breaks",
    "sized-stream-breaks", "unfinished", "raises-after", "raises-404-after", "endless", "upload", *(path[1:] for path in (*plain.ACTS, *plain.ASYNC_ACTS)),
)  # fmt: skip


async def main():
    cases = [(f"/{name}", Case, {"name": name}) for name in NAMES]
    cases += [(path, FallbackHandler, FALLBACK) for path in PATHS]
    cases += [(r"/items/(\d+)", Item), ("/socket", Socket), ("/socket-fails", FailingSocket)]
    cases += [("/prepare-raises", PrepareRaises), ("/finish-raises", FinishRaises), ("/handled", Handled)]
    cases += [("/error-fails", ErrorFails)]
    application = Application(cases)
    application.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
