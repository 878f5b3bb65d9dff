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


@routes.get("/sized-stream-breaks")
async def sized_stream_breaks(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"part")
    raise ValueError("sized-stream-breaks")


@routes.get("/too-short")
async def too_short(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"part")
    return response


@routes.get("/body-breaks")
async def body_breaks(_request):
    async def parts():
        yield b"part"
        raise ValueError("body-breaks")

    return web.Response(body=parts())


@routes.get("/database-breaks")
async def database_breaks(_request):
    async def parts():
        yield b"part"
        raise ConnectionResetError("database-breaks")

    return web.Response(body=parts())


@routes.get("/file-breaks")
async def file_breaks(_request):
    return web.Response(body=plain.BreakingFile())


@routes.get("/body-endless")
async def body_endless(_request):
    async def parts():
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0.01)

    return web.Response(body=parts())


@routes.get("/refused-header")
async def refused_header(_request):
    return web.Response(text="ok", headers={"X-Shop": "a\nb"})


@routes.get("/end-fails")
async def end_fails(_request):
    class Failing(web.Response):
        async def write_eof(self, data=b""):
            raise ValueError("end-fails")

    return Failing(text="ok")


@routes.get("/signal-fails")
async def signal_fails(_request):
    return web.Response(text="ok")


@routes.get("/file")
async def sent_file(_request):
    return web.FileResponse(__file__)


@routes.get("/no-file")
async def no_file(_request):
    return web.FileResponse(f"{__file__}.gone")


@routes.get("/returns-nothing")
async def returns_nothing(_request):
    pass


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


async def fail_on_signal(request, _response):
    if request.path == "/signal-fails":
        raise ValueError("signal-fails")


if __name__ == "__main__":
    application = web.Application()
    application.add_routes(routes)
    application.on_response_prepare.append(fail_on_signal)
    sub = web.Application()
    sub.router.add_get("/ok", ok)
    sub.router.add_get("/raises", raises)
    application.add_subapp("/sub", sub)
    web.run_app(application, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
