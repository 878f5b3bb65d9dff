"""A FastAPI service full of secrets."""

import os

import places

places.init_plain()

import uvicorn  # noqa: E402 after Sentry, as its documentation says
from fastapi import FastAPI, Request  # noqa: E402

app = FastAPI()


@app.get("/healthz")
async def healthz():
    return "ok"


@app.post("/leak/{path}")
async def leak(path: str, request: Request):
    await request.body()
    places.everything()
    places.boom()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
