"""aiohttp, its own server: each path is a way in which a request can go right or wrong."""

import asyncio
import logging
import os

import plain
from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/ok")
@routes.get("/items/{number}")
async def ok(_request):
    return web.Response(text="ok")


@routes.get("/returned-404")
async def returned_404(_request):
    return web.Response(status=404)


@routes.get("/raised-404")
async def raised_404(_request):
    raise web.HTTPNotFound


@routes.get("/raised-302")
async def raised_302(_request):
    raise web.HTTPFound("/ok")


@routes.get("/returned-500")
async def returned_500(_request):
    return web.Response(status=500)


@routes.get("/raised-503")
async def raised_503(_request):
    raise web.HTTPServiceUnavailable


@routes.get("/raises")
async def raises(_request):
    raise ValueError("raises")


@routes.get("/status")
async def status(_request):
    raise plain.QuotaError("status")


@routes.get("/logged")
async def logged(_request):
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")
    return web.Response(text="ok")


@routes.get("/stream-breaks")
async def stream_breaks(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"part")
    raise ValueError("stream-breaks")


@routes.get("/endless")
async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)
        await asyncio.sleep(0.01)


def route(path, act):
    @routes.get(path)
    async def view(_request):
        answer = act()
        if answer is not None:
            await answer
        return web.Response(text="ok")


for path, act in {**plain.ACTS, **plain.ASYNC_ACTS}.items():
    route(path, act)


@routes.get("/socket")
async def socket(request):
    made = web.WebSocketResponse()
    await made.prepare(request)
    async for message in made:
        await made.send_str(message.data)
    return made


@routes.get("/socket-fails")
async def socket_fails(request):
    made = web.WebSocketResponse()
    await made.prepare(request)
    raise ValueError("socket-fails")


@routes.post("/upload")
async def upload(request):
    return web.Response(text=str(len(await request.read())))


if __name__ == "__main__":
    application = web.Application()
    application.add_routes(routes)
    web.run_app(application, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
