"""A shop with Flask. Its only telemetry code sets a tag."""

from flask import Flask

import slotel

app = Flask(__name__)
PRICES = {1: 9.99, 2: 19.99}


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/items/<int:number>")
def item(number):
    slotel.set_custom_tags(team="catalogue")
    if number not in PRICES:
        return {"error": "no such item"}, 404
    return {"item": number, "price": PRICES[number]}


@app.get("/fail")
def fail():
    raise RuntimeError("the payment provider is down")


if __name__ == "__main__":
    app.run(port=8000)
