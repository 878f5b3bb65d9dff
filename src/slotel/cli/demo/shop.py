"""The sample service: a small shop on Flask and waitress. Knows nothing of telemetry but its tags."""

from __future__ import annotations

import os
import time

from flask import Flask
from waitress import serve

from slotel import ErrorTracker

app = Flask("shop")
error_tracker = ErrorTracker()


@app.get("/healthz")
def health() -> str:
    """Answer the load balancer."""
    return "ok"


@app.get("/products/<int:number>")
def product(number: int) -> str:
    """Show a product."""
    return f"product {number}"


@app.get("/search")
def search() -> str:
    """Search, slowly."""
    time.sleep(0.12)
    return "3 products"


@app.get("/checkout/<tier>")
def checkout(tier: str) -> str:
    """Take an order; the tier `broken` cannot pay."""
    error_tracker.set_custom_tags(tier=tier)
    if tier == "broken":
        raise RuntimeError("payment provider refused the card")
    return "ordered"


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]), threads=4, _quiet=True)
