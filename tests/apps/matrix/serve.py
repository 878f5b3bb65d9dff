"""Serves the WSGI application of a module with a server that has no command of its own: `serve.py SERVER MODULE`."""

import importlib
import os
import sys


def main(server, module):
    application = importlib.import_module(module).application
    port = int(os.environ["PORT"])
    if server == "cheroot":
        from cheroot.wsgi import Server

        Server(("127.0.0.1", port), application).start()
    elif server == "wsgiref":
        from wsgiref.simple_server import make_server

        make_server("127.0.0.1", port, application).serve_forever()
    elif server in {"werkzeug", "debugger"}:
        from werkzeug.serving import run_simple

        run_simple("127.0.0.1", port, application, threaded=True, use_debugger=server == "debugger")


if __name__ == "__main__":
    main(*sys.argv[1:])
