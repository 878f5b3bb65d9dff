"""A FastAPI service for the tests: uvicorn on PORT."""

import os

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/healthz")
async def healthz():
    return "ok"


@app.get("/ok")
async def ok():
    return "ok"


@app.get("/items/{number}")
async def item(number: int):
    return number


@app.get("/error")
async def error():
    raise ValueError("no such order")


@app.get("/tags/{team}")
async def tags(team: str):
    from slotel import ErrorTracker

    ErrorTracker().set_custom_tags(team=team)
    return team


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
