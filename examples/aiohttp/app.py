"""A shop with aiohttp. Its only telemetry code sets a tag."""

import os

from aiohttp import web

import slotel

PRICES = {1: 9.99, 2: 19.99}
routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(request):
    return web.Response(text="ok")


@routes.get("/items/{number}")
async def item(request):
    slotel.set_custom_tags(team="catalogue")
    number = int(request.match_info["number"])
    if number not in PRICES:
        raise web.HTTPNotFound(text="no such item")
    return web.json_response({"item": number, "price": PRICES[number]})


@routes.get("/fail")
async def fail(request):
    raise RuntimeError("the payment provider is down")


app = web.Application()
app.add_routes(routes)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
