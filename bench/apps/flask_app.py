"""The measured Flask app, on waitress with two threads."""

import wiring

wiring.install()

import flask  # noqa: E402 - a Sentry set-up stands before the framework
import waitress  # noqa: E402

app = flask.Flask(__name__)
child = wiring.child_maker()

if wiring.KIND == "native":
    from prometheus_flask_exporter import PrometheusMetrics

    PrometheusMetrics(app)


@app.get("/ok")
def ok():
    return "ok"


@app.get("/work")
def work():
    for number in range(wiring.CHILDREN):
        with child(number):
            pass
    return "worked"


@app.get("/error")
def error():
    raise RuntimeError("on purpose")


@app.get("/rare/<int:number>")
def rare(number):
    """Raise an error whose place is another for each number."""
    exec(compile("\n" * number + "raise LookupError(number)", "rare.py", "exec"))


if __name__ == "__main__":
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=2)
    wiring.announce(int(server.effective_port))
    server.run()
