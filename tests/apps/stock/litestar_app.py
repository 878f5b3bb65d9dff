"""Litestar's minimal example."""

from litestar import Litestar, get


@get("/")
async def home() -> str:
    return "home"


app = Litestar([home])
