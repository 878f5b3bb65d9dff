"""Quart: each path is a way in which a request can go right or wrong."""

import asyncio
import logging

import plain
from quart import Blueprint, Quart, abort, request, websocket

app = Quart(__name__)


def answering(act):
    async def view(**_given):
        answer = act()
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if answer is not None else "ok"

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


async def upload():
    return str(len(await request.get_data()))


class CardError(Exception):
    pass


@app.errorhandler(CardError)
async def declined(_error):
    return "declined", 402


async def parts():
    yield b"part"


async def broken_parts():
    yield b"part"
    raise ValueError("stream-breaks")


blue = Blueprint("blue", __name__, url_prefix="/blue")
blue.add_url_rule("/ok", "blue_ok", answering(lambda: "ok"))
app.register_blueprint(blue)
for path, act in {
    **plain.ACTS,
    **plain.ASYNC_ACTS,
    "/ok": lambda: "ok",
    "/items/<int:number>": lambda: "ok",
    "/returned-404": lambda: ("no", 404),
    "/raised-404": lambda: abort(404),
    "/returned-500": lambda: ("no", 500),
    "/raises": raising(ValueError("raises")),
    "/status": raising(plain.QuotaError("status")),
    "/handled": raising(CardError("handled")),
    "/logged": logged,
    "/stream": lambda: (parts(), 200),
    "/stream-breaks": lambda: (broken_parts(), 200),
    "/too-short": lambda: ("ok", 200, {"Content-Length": "100"}),
    "/stream-fails": lambda: (plain.failing_async_parts(), 200),
}.items():
    app.add_url_rule(path, path, answering(act))
app.add_url_rule("/upload", "upload", upload, methods=["POST"])


@app.websocket("/socket")
async def socket():
    while True:
        await websocket.send(await websocket.receive())


@app.websocket("/socket-fails")
async def socket_fails():
    await websocket.accept()
    raise ValueError("socket-fails")
