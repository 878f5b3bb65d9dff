"""A shop with Flask, SQLAlchemy and PostgreSQL: each query is a span of its request."""

import os

from flask import Flask
from sqlalchemy import create_engine, text

engine = create_engine(os.environ.get("DATABASE_URL", "postgresql+psycopg://localhost/shop"))
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/items/<int:number>")
def item(number):
    with engine.connect() as connection:
        row = connection.execute(text("SELECT name, price FROM items WHERE id = :id"), {"id": number}).first()
    if row is None:
        return {"error": "no such item"}, 404
    return {"item": row.name, "price": float(row.price)}


@app.get("/fail")
def fail():
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    return "never"


def create():
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS items (id int PRIMARY KEY, name text, price numeric)")
        )
        connection.execute(text("INSERT INTO items VALUES (1, 'lamp', 9.99) ON CONFLICT DO NOTHING"))


if __name__ == "__main__":
    create()
    app.run(port=8000)
