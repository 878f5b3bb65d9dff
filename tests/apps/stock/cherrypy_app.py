"""CherryPy's tutorial."""

import os

import cherrypy


class Root:
    @cherrypy.expose
    def index(self):
        return "home"


cherrypy.config.update({"server.socket_port": int(os.environ["PORT"]), "engine.autoreload.on": False})
cherrypy.quickstart(Root())
