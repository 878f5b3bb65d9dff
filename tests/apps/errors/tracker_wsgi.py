"""A bare WSGI app under waitress, without opentelemetry-instrument and without an instrumentation: slotel's code API alone."""

import os

from waitress import serve

from slotel import ErrorTracker, ErrorTrackingMiddleware, PerformanceTracker

performance = PerformanceTracker()


@performance.track_request(name="GET /tracked", attributes={"http.route": "/tracked"})
def tracked():
    return [b"ok"]


def failing_body():
    yield b"a"
    raise ValueError("body")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/error/"):
        ErrorTracker().set_custom_tags(team=path.removeprefix("/error/"))
        ErrorTracker().set_user(id="7")
        raise ValueError("failed")
    if path == "/plain":
        raise ValueError("plain")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/tracked":
        return tracked()
    return failing_body() if path == "/body" else [b"ok"]


if __name__ == "__main__":
    wrapped = ErrorTrackingMiddleware(app)
    serve(wrapped, host="127.0.0.1", port=int(os.environ["PORT"]), threads=1, _quiet=True)
