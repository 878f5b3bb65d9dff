"""Pyramid's hello world."""

import os

from pyramid.config import Configurator
from pyramid.response import Response
from waitress import serve


def home(_request):
    return Response("home")


if __name__ == "__main__":
    with Configurator() as config:
        config.add_route("home", "/")
        config.add_view(home, route_name="home")
        app = config.make_wsgi_app()
    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]))
