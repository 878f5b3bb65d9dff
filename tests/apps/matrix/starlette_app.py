"""Starlette: each path is a way in which a request can go right or wrong."""

import asyncio
import contextlib
import logging

import plain
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute


async def ok(_request):
    return PlainTextResponse("ok")


def returning(status):
    async def view(_request):
        return PlainTextResponse("no", status)

    return view


def raising(error):
    def view(_request):  # in a thread
        raise error

    return view


def acting(act):
    async def view(_request):
        answer = act()
        if answer is not None:
            await answer
        return PlainTextResponse("ok")

    return view


async def logged(_request):
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")
    return PlainTextResponse("ok")


def streaming(*, breaks=False, endless=False):
    async def parts():
        yield b"part"
        if breaks:
            raise ValueError("stream-breaks")
        while endless:
            yield b"x" * 65536
            await asyncio.sleep(0.01)

    async def view(_request):
        return StreamingResponse(parts())

    return view


async def upload(request):
    return PlainTextResponse(str(len(await request.body())))


async def socket(websocket):
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


async def quiet_socket(websocket):
    await websocket.accept()
    with contextlib.suppress(Exception):
        async for text in websocket.iter_text():
            await websocket.send_text(text)


async def refused(websocket):
    await websocket.close(1008)


async def socket_fails(websocket):
    await websocket.accept()
    raise ValueError("socket-fails")


async def after(_request):
    async def fail():
        raise ValueError("after")

    return PlainTextResponse("ok", background=BackgroundTask(fail))


def declined(_request, _error):
    return PlainTextResponse("declined", 402)


class CardError(Exception):
    pass


app = Starlette(
    routes=[
        Route("/ok", ok),
        Route("/items/{number}", ok),
        Route("/returned-404", returning(404)),
        Route("/raised-404", raising(HTTPException(404))),
        Route("/returned-500", returning(500)),
        Route("/raised-503", raising(HTTPException(503))),
        Route("/raises", raising(ValueError("raises"))),
        Route("/status", raising(plain.QuotaError("status"))),
        Route("/handled", raising(CardError("handled"))),
        Route("/logged", logged),
        Route("/stream", streaming()),
        Route("/stream-breaks", streaming(breaks=True)),
        Route("/too-short", lambda _request: PlainTextResponse("ok", headers={"Content-Length": "100"})),
        Route("/stream-fails", lambda _request: StreamingResponse(plain.failing_async_parts())),
        Route("/after", after),
        Route("/file-gone", lambda _request: FileResponse("/gone")),
        Route("/refused-header", lambda _request: PlainTextResponse("ok", headers={"X-Shop": "a\nb"})),
        Route("/endless", streaming(endless=True)),
        Route("/upload", upload, methods=["POST"]),
        *(Route(path, acting(act)) for path, act in {**plain.ACTS, **plain.ASYNC_ACTS}.items()),
        WebSocketRoute("/socket", socket),
        WebSocketRoute("/socket-quiet", quiet_socket),
        WebSocketRoute("/socket-refused", refused),
        WebSocketRoute("/socket-fails", socket_fails),
        Mount("/sub", routes=[Route("/ok", ok), Route("/raises", raising(ValueError("raises")))]),
    ],
    exception_handlers={CardError: declined},
)
