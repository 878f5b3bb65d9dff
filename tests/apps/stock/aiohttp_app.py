"""aiohttp's server example."""

import os

from aiohttp import web


async def home(_request):
    return web.Response(text="home")


app = web.Application()
app.add_routes([web.get("/", home)])

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]))
