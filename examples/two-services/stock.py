"""How much of an item is there; item 13 is broken."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


@app.get("/stock/{number}")
async def stock(number: int) -> dict[str, int]:
    if number == 13:
        raise RuntimeError("the shelf is gone")
    return {"count": 100 - number}
