"""Quart's tutorial."""

import os

from quart import Quart

app = Quart(__name__)


@app.get("/")
async def home():
    return "home"


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
