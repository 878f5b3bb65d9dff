"""A FastAPI service that fails: the message of each error names the span that it happened in."""

import asyncio
import os

import uvicorn
from fastapi import BackgroundTasks, FastAPI, HTTPException
from opentelemetry import trace
from ways import WAYS

from slotel import set_custom_tags

app = FastAPI()


def here():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


class OutOfStockError(Exception):
    pass


@app.exception_handler(OutOfStockError)
async def out_of_stock(request, error):
    from starlette.responses import JSONResponse

    return JSONResponse({"detail": "out of stock"}, status_code=409)


@app.get("/healthz")
async def healthz():
    return "ok"


@app.get("/error/{team}")
async def error(team: str):
    set_custom_tags(team=team)
    raise ValueError(here())


@app.get("/plain")
async def plain():
    raise ValueError(here())


@app.get("/sync/{team}")
def sync(team: str):
    set_custom_tags(team=team)
    raise ValueError(here())


@app.get("/way/{name}")
async def way(name: str):
    WAYS[name]()


@app.get("/sync-way/{name}")
def sync_way(name: str):
    WAYS[name]()


@app.get("/inner")
async def inner():
    with trace.get_tracer("shop").start_as_current_span("load"):
        raise ValueError(here())


@app.get("/unavailable")
async def unavailable():
    raise HTTPException(503, here())


@app.get("/missing")
async def missing():
    raise HTTPException(404, here())


@app.get("/expected")
async def expected():
    raise OutOfStockError


@app.get("/task")
async def task():
    set_custom_tags(team="green")

    async def work():
        await asyncio.sleep(0.01)
        raise ValueError(where)

    where = here()
    running = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    del running
    return "ok"


@app.get("/background")
async def background(tasks: BackgroundTasks):
    set_custom_tags(team="violet")
    where = here()

    def work():
        raise ValueError(where)

    tasks.add_task(work)
    return "ok"


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
