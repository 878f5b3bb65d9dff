"""A shop with FastAPI. Its only telemetry code sets a tag."""

from fastapi import FastAPI, HTTPException

import slotel

app = FastAPI()
PRICES = {1: 9.99, 2: 19.99}


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


@app.get("/items/{number}")
async def item(number: int) -> dict[str, float]:
    slotel.set_custom_tags(team="catalogue")
    if number not in PRICES:
        raise HTTPException(404, "no such item")
    return {"item": number, "price": PRICES[number]}


@app.get("/fail")
async def fail() -> None:
    raise RuntimeError("the payment provider is down")
