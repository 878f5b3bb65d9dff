"""Flask: each path is a way in which a request can go right or wrong."""

import logging
import sys

import plain
from flask import Blueprint, Flask, Response, abort, request, send_file
from flask_sock import Sock
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app = Flask("shop")
mounted = Flask("mounted")
sock = Sock(app)


class CardError(Exception):
    pass


@app.get("/ok")
@mounted.get("/ok")
def ok():
    return "ok"


@app.get("/items/<int:number>")
def item(number):
    return str(number)


@app.get("/returned-404")
def returned_404():
    return "no", 404


@app.get("/raised-404")
def raised_404():
    abort(404)


@app.get("/returned-500")
def returned_500():
    return "no", 500


@app.get("/raised-503")
def raised_503():
    raise ServiceUnavailable


@app.get("/raises")
@mounted.get("/raises")
def raises():
    raise ValueError("raises")


@app.get("/status")
def status():
    raise plain.QuotaError("status")


@app.get("/exit")
def leave():
    sys.exit(1)


@app.errorhandler(CardError)
def card(_error):
    return "declined", 402


@app.get("/handled")
def handled():
    raise CardError("handled")


@app.get("/logged")
def logged():
    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger("shop").exception("logged")
    return "ok"


@app.get("/stream")
def stream():
    return Response(b"part" for _ in range(3))


@app.get("/stream-breaks")
@app.get("/sized-stream-breaks", endpoint="sized_stream_breaks")
def stream_breaks():
    def parts():
        yield b"part"
        raise ValueError("stream-breaks")

    return Response(parts(), headers={"Content-Length": "100"} if "sized" in request.path else {})


@app.get("/stream-fails")
def stream_fails():
    return Response(plain.failing_parts())


@app.get("/too-short")
def too_short():
    answer = Response("ok")
    answer.headers["Content-Length"] = "100"
    return answer


@app.get("/teardown-raises")
def teardown_raises():
    return "ok"


@app.teardown_request
def tear_down(_error):
    if request.path == "/teardown-raises":
        raise ValueError("teardown-raises")


@app.get("/file-breaks")
def file_breaks():
    return send_file(plain.BreakingFile(), mimetype="text/plain")


@app.get("/sent-file-breaks")
def sent_file_breaks():
    wrapped = request.environ["wsgi.file_wrapper"](plain.BreakingOnDisk(), 1000)
    return Response(wrapped, headers={"Content-Length": "100000000"}, direct_passthrough=True)


@app.get("/endless")
def endless():
    import time

    def parts():
        while True:
            yield b"x" * 65536
            time.sleep(0.01)

    return Response(parts())


@app.post("/upload")
def upload():
    return str(len(request.get_data()))


for path, act in plain.ACTS.items():
    app.add_url_rule(path, path[1:], lambda act=act: (act(), "ok")[1])


@app.get("/greenlet-exit")
def greenlet_exit():
    from gevent import GreenletExit

    raise GreenletExit


@app.get("/greenlet-timeout")
def greenlet_timeout():
    import gevent

    with gevent.Timeout(0.01):
        gevent.sleep(10)


@app.get("/hangs")
def hangs():
    import time

    time.sleep(30)


@sock.route("/socket-ends")
def greet(socket):
    socket.send("hello")


blue = Blueprint("blue", __name__, url_prefix="/blue")


@blue.get("/ok")
def blue_ok():
    return "ok"


app.register_blueprint(blue)
application = DispatcherMiddleware(app, {"/sub": mounted})
