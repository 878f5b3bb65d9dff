"""A bare ASGI app under uvicorn, without opentelemetry-instrument and without an instrumentation: slotel's code API alone."""

import os

import uvicorn

from slotel import ErrorTracker, ErrorTrackingMiddleware, PerformanceTracker

performance = PerformanceTracker()


async def answer(send, status, text):
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    )
    await send({"type": "http.response.body", "body": text.encode()})


@performance.track_request(name="GET /tracked", attributes={"http.route": "/tracked"})
async def tracked(send):
    await answer(send, 200, "ok")


async def app(scope, receive, send):
    path = scope["path"]
    if path.startswith("/error/"):
        ErrorTracker().set_custom_tags(team=path.removeprefix("/error/"))
        ErrorTracker().set_user(id="7")
        raise ValueError("failed")
    if path == "/plain":
        raise ValueError("plain")
    if path == "/tracked":
        await tracked(send)
        return
    await answer(send, 200, "ok")


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    wrapped = ErrorTrackingMiddleware(app)
    uvicorn.run(wrapped, host="127.0.0.1", port=port, log_level="warning", lifespan="off", interface="auto")
