"""Asks an application of Litestar for routes that read a body, or none, and prints each status."""

import asyncio
import json
import sys

from litestar import Litestar, Request, post

BOUNDARY = "multipart/form-data; boundary=x"
BODIES = (
    ("application/json", b"{bad"),
    ("application/json", b"\xff\xfe"),
    ("application/json", b"[" * 3000),
    ("application/json", b'{"a": 1}'),
    ("application/json", b"[" + b"1," * 1_000_000 + b"1]"),
    (BOUNDARY, b"--x\r\nbroken"),
    (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'),
    ("multipart/form-data", b"none"),
    ("application/x-www-form-urlencoded", b"a=%ff&%=&;"),
)


@post("/json")
async def read(data: dict) -> dict:
    return data


@post("/form")
async def form(request: Request) -> int:
    return len(await request.form())


@post("/stream")
async def stream(request: Request) -> int:
    return sum([len(part) async for part in request.stream()])


@post("/ignores")
async def ignore() -> str:
    return "ok"


APP = Litestar([read, form, stream, ignore], request_max_body_size=1_500_000)


async def ask(path: str, kind: str, body: bytes, *, says_length: bool) -> tuple[int, bytes]:
    """Send a body in two parts."""
    half = len(body) // 2
    messages = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    answer = []

    async def receive():
        if messages:
            return messages.pop(0)
        return await asyncio.Future()  # a server waits for the client

    async def send(message):
        answer.append(message)

    headers = [(b"content-type", kind.encode())]
    if says_length:
        headers.append((b"content-length", str(len(body)).encode()))
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    await asyncio.wait_for(APP(scope, receive, send), 30)
    return answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:])[:200]


async def main() -> None:
    for says_length in (True, False):
        for path in ("/json", "/form", "/stream", "/ignores"):
            for kind, body in BODIES:
                status, text = await ask(path, kind, body, says_length=says_length)
                sys.stdout.write(
                    json.dumps([path, kind, repr(body[:8]), says_length, status, text.decode()]) + "\n"
                )


asyncio.run(main())
