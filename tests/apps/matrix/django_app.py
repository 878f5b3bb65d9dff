"""Django in one module, WSGI and ASGI: each path is a way in which a request can go right or wrong."""

import asyncio
import logging
import os
import sys
import time

import plain
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.urls import include, path

IS_ASYNC = os.environ.get("INTERFACE") == "asgi"
settings.configure(
    SECRET_KEY="test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEBUG=False,
    FORCE_SCRIPT_NAME=os.environ.get("FORCED_ROOT"),
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)  # fmt: skip


def ok(_request, **_more):
    return HttpResponse("ok")


def returned(status):
    return lambda _request: HttpResponse("no", status=status)


def raising(error):
    def view(_request):
        raise error

    return view


def leave(_request):
    sys.exit(1)


def logged(_request):
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")
    return HttpResponse("ok")


def endless_async():
    async def parts():
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0.01)

    return lambda _request: StreamingHttpResponse(parts())


def streaming(*, breaks=False, endless=False, sized=False):
    def parts():
        yield b"part"
        if breaks:
            raise ValueError("stream-breaks")
        while endless:
            yield b"x" * 65536
            time.sleep(0.01)

    return lambda _request: StreamingHttpResponse(parts(), headers={"Content-Length": "100"} if sized else {})


async def async_stream_breaks(_request):
    async def parts():
        yield b"part"
        raise ValueError("async-stream-breaks")

    return StreamingHttpResponse(parts())


def upload(request):
    return HttpResponse(str(len(request.body)))


def acting(act):
    return lambda _request: (act(), HttpResponse("ok"))[1]


def acting_async(act):
    async def view(_request):
        await act()
        return HttpResponse("ok")

    return view


urlpatterns = [
    *(path(name[1:], acting(act)) for name, act in plain.ACTS.items()),
    *(path(name[1:], acting_async(act)) for name, act in plain.ASYNC_ACTS.items()),
    path("", ok),
    path("ok", ok),
    path("items/<int:number>", ok),
    path("returned-404", returned(404)),
    path("raised-404", raising(Http404())),
    path("raised-403", raising(PermissionDenied())),
    path("raised-400", raising(SuspiciousOperation())),
    path("returned-500", returned(500)),
    path("raises", raising(ValueError("raises"))),
    path("status", raising(plain.QuotaError("status"))),
    path("exit", leave),
    path("logged", logged),
    path("stream", streaming()),
    path("stream-breaks", streaming(breaks=True)),
    path("too-short", lambda _request: HttpResponse("ok", headers={"Content-Length": "100"})),
    path("stream-fails", lambda _request: StreamingHttpResponse(plain.failing_parts())),
    path("sized-stream-breaks", streaming(breaks=True, sized=True)),
    path("file-breaks", lambda _request: FileResponse(plain.BreakingFile())),
    path("async-stream-breaks", async_stream_breaks),
    path("endless", endless_async() if IS_ASYNC else streaming(endless=True)),
    path("upload", upload),
    path("sub/", include([path("ok", ok), path("raises", raising(ValueError("raises")))])),
]

if IS_ASYNC:
    from django.core.asgi import get_asgi_application

    application = get_asgi_application()
else:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
