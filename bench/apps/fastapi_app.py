"""The measured FastAPI app, on uvicorn (asyncio, h11), one process."""

import socket

import wiring

wiring.install()

import fastapi  # noqa: E402 - a Sentry set-up stands before the framework
import uvicorn  # noqa: E402

app = fastapi.FastAPI()
child = wiring.child_maker()

if wiring.KIND == "native":
    from prometheus_fastapi_instrumentator import Instrumentator

    Instrumentator().instrument(app).expose(app)


@app.get("/ok")
async def ok():
    return "ok"


@app.get("/work")
async def work():
    for number in range(wiring.CHILDREN):
        with child(number):
            pass
    return "worked"


@app.get("/error")
async def error():
    raise RuntimeError("on purpose")


if __name__ == "__main__":
    config = uvicorn.Config(app, loop="asyncio", http="h11", access_log=False, log_level="error")
    # named as TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms for an acknowledgement
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)  # so that the first request waits instead of being refused
    wiring.announce(listener.getsockname()[1])
    uvicorn.Server(config).run(sockets=[listener])
