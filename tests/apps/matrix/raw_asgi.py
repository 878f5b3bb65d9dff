"""A bare ASGI application: nothing instruments it. Each path is a way in which a request can go right or wrong."""

import asyncio
import os

import plain


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return None
    if scope["type"] == "websocket":
        await socket(scope, receive, send)
        return None
    path = scope["path"]
    if path == "/raises":
        raise ValueError("raises")
    if path in plain.ACTS:
        plain.ACTS[path]()
    if path in plain.ASYNC_ACTS:
        await plain.ASYNC_ACTS[path]()
    if path == "/upload":
        while (await receive()).get("more_body"):
            pass
    status = int(path[-3:]) if path[-3:].isdigit() else 200 if path != "/missing" else 404
    headers = [(b"content-type", b"text/plain")]
    if path == "/too-long":
        headers.append((b"content-length", b"1"))
    if path == "/too-short":
        headers.append((b"content-length", b"100"))
    if path == "/refused-header":
        headers.append((b"x-shop", b"a\nb"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if path == "/begun-raises":
        raise ValueError("begun-raises")
    if path == "/stream-breaks":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("stream-breaks")
    if path == "/unfinished":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        return None
    while path == "/endless":
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await asyncio.sleep(0.01)
        if gone(receive):
            return None
    await send({"type": "http.response.body", "body": "ok" if path == "/no-bytes" else b"ok"})
    if path == "/after":
        raise ValueError("after the answer")
    return "something" if path == "/returns-something" else None


if os.environ.get("PLAIN"):  # the oracle of an application that no integration knows
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    application = SentryAsgiMiddleware(application)


def gone(receive):
    """Whether the client has left: receive tells it at once."""
    waiting = receive()
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value["type"] == "http.disconnect"
    finally:
        waiting.close()
    return False


async def socket(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/socket-fails":
        raise ValueError("socket-fails")
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message.get("text") or ""})
