"""A shop with Starlette. Its only telemetry code sets a tag."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import slotel

PRICES = {1: 9.99, 2: 19.99}


async def healthz(request):
    return PlainTextResponse("ok")


async def item(request):
    slotel.set_custom_tags(team="catalogue")
    number = request.path_params["number"]
    if number not in PRICES:
        raise HTTPException(404, "no such item")
    return JSONResponse({"item": number, "price": PRICES[number]})


async def fail(request):
    raise RuntimeError("the payment provider is down")


app = Starlette(
    routes=[Route("/healthz", healthz), Route("/items/{number:int}", item), Route("/fail", fail)],
)
