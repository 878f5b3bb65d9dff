"""Litestar: each path is a way in which a request can go right or wrong."""

import asyncio
import logging

import plain
from litestar import Litestar, Request, Response, Router, get, post, websocket
from litestar.connection import WebSocket
from litestar.exceptions import NotFoundException
from litestar.response import Stream


def answering(path, act):
    @get(path)
    async def view() -> Response:
        answer = act()
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if isinstance(answer, Response) else Response("ok")

    return view


def raising(error):
    def act():
        raise error

    return act


def logged():
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")


async def parts():
    yield b"part"


async def broken_parts():
    yield b"part"
    raise ValueError("stream-breaks")


@post("/upload")
async def upload(request: Request) -> str:
    return str(len(await request.body()))


@websocket("/socket")
async def socket(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


@websocket("/socket-fails")
async def socket_fails(socket: WebSocket) -> None:
    await socket.accept()
    raise ValueError("socket-fails")


class CardError(Exception):
    pass


ACTS = {
    **plain.ACTS,
    **plain.ASYNC_ACTS,
    "/ok": lambda: None,
    "/items/{number:int}": lambda: None,
    "/returned-404": lambda: Response("no", status_code=404),
    "/raised-404": raising(NotFoundException()),
    "/returned-500": lambda: Response("no", status_code=500),
    "/raises": raising(ValueError("raises")),
    "/status": raising(plain.QuotaError("status")),
    "/handled": raising(CardError("handled")),
    "/logged": logged,
    "/stream": lambda: Stream(parts()),
    "/stream-breaks": lambda: Stream(broken_parts()),
    "/too-short": lambda: Response("ok", headers={"content-length": "100"}),
    "/stream-fails": lambda: Stream(plain.failing_async_parts()),
}
app = Litestar(
    [
        *(answering(path, act) for path, act in ACTS.items()),
        Router(
            "/sub", route_handlers=[answering("/ok", lambda: None), answering("/raises", ACTS["/raises"])]
        ),
        upload,
        socket,
        socket_fails,
    ],
    exception_handlers={CardError: lambda _request, _error: Response("declined", status_code=402)},
)
