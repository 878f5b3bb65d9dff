"""FastAPI: each path is a way in which a request can go right or wrong."""

import asyncio
import logging

import plain
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse

app = FastAPI()
mounted = FastAPI()


class CardError(Exception):
    pass


@app.middleware("http")
async def passing(request: Request, call_next):
    return await call_next(request)


@app.get("/ok")
@mounted.get("/ok")
async def ok():
    return "ok"


@app.get("/items/{number}")
def item(number: int):
    return number


@app.get("/returned-404")
async def returned_404():
    return Response("no", 404)


@app.get("/raised-404")
async def raised_404():
    raise HTTPException(404)


@app.get("/returned-500")
async def returned_500():
    return Response("no", 500)


@app.get("/raised-503")
async def raised_503():
    raise HTTPException(503)


@app.get("/raises")
@mounted.get("/raises")
async def raises():
    raise ValueError("raises")


@app.get("/status")
async def status():
    raise plain.QuotaError("status")


@app.exception_handler(CardError)
async def card(_request, _error):
    return JSONResponse("declined", 402)


@app.get("/handled")
async def handled():
    raise CardError("handled")


@app.get("/logged")
async def logged():
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")
    return "ok"


@app.get("/stream")
async def stream():
    async def parts():
        for _ in range(3):
            yield b"part"

    return StreamingResponse(parts())


@app.get("/stream-breaks")
async def stream_breaks():
    async def parts():
        yield b"part"
        raise ValueError("stream-breaks")

    return StreamingResponse(parts())


@app.get("/too-short")
async def too_short():
    return Response("ok", headers={"Content-Length": "100"})


@app.get("/stream-fails")
async def stream_fails():
    return StreamingResponse(plain.failing_async_parts())


@app.get("/file-gone")
async def file_gone():
    return FileResponse("/gone")


@app.get("/refused-header")
async def refused_header():
    return PlainTextResponse("ok", headers={"X-Shop": "a\nb"})


@app.get("/endless")
async def endless():
    async def parts():
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0.01)

    return StreamingResponse(parts())


@app.post("/upload")
async def upload(request: Request):
    return len(await request.body())


@app.get("/after")
async def after(tasks: BackgroundTasks):
    def fail():
        raise ValueError("after")

    tasks.add_task(fail)
    return "ok"


def route(path, act):
    @app.get(path)
    async def view():
        answer = act()
        if answer is not None:
            await answer
        return "ok"


for path, act in {**plain.ACTS, **plain.ASYNC_ACTS}.items():
    route(path, act)


@app.websocket("/socket-refused")
async def refused(websocket: WebSocket):
    await websocket.close(1008)


@app.websocket("/socket")
async def socket(websocket: WebSocket):
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


@app.websocket("/socket-fails")
async def socket_fails(websocket: WebSocket):
    await websocket.accept()
    raise ValueError("socket-fails")


app.mount("/sub", mounted)
