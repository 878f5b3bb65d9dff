"""Falcon's tutorial, with wsgiref."""

import os
from wsgiref.simple_server import make_server

import falcon


class Home:
    def on_get(self, _request, response):
        response.text = "home"


app = falcon.App()
app.add_route("/", Home())

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ["PORT"]), app) as server:
        server.serve_forever()
