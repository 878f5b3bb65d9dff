"""Calls of Redis, PostgreSQL, AWS and MongoDB in transactions, the same under plain sentry-sdk and under slotel; prints the headers that AWS was sent.

Redis and PostgreSQL are real. AWS is an HTTP server that answers every request, MongoDB one that answers every command:
doubles, for there is no server of theirs to be had.
"""

import asyncio
import json
import os
import socketserver
import struct
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import asyncpg
import boto3
import bson
import pymongo
import redis
import sentry_sdk
import sqlalchemy
from botocore.config import Config
from sentry_sdk.integrations.redis import RedisIntegration

_, REDIS, POSTGRES = sys.argv[1:]
HEADERS = ("sentry-trace", "baggage", "traceparent", "x-amzn-trace-id")
sentry_sdk.init(
    os.environ["SENTRY_DSN"],
    release="r1",
    traces_sample_rate=1.0,
    integrations=[RedisIntegration(cache_prefixes=["cart:"])],
)
sent = set()


class Aws(BaseHTTPRequestHandler):
    def do_GET(self):
        sent.update(name for name in HEADERS if name in self.headers)
        is_there = "missing" not in self.path
        answer = b"tea" if is_there else b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
        self.send_response(200 if is_there else 404)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Mongo(socketserver.StreamRequestHandler):
    """Speaks OP_MSG, and OP_QUERY for the greeting. Source: MongoDB's manual, "Wire Protocol"."""

    def handle(self):
        while len(head := self.rfile.read(16)) == 16:
            length, number, _, code = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            is_message = code == 2013
            document = body[5:] if is_message else body[body.index(b"\0", 4) + 9 :]
            command = bson.decode(document[: struct.unpack("<i", document[:4])[0]])
            answer = bson.encode(self.answer(next(iter(command)), command))
            start = b"\0" * 5 if is_message else struct.pack("<iqii", 8, 0, 0, 1)
            kind = 2013 if is_message else 1
            self.wfile.write(
                struct.pack("<iiii", 16 + len(start) + len(answer), 1, number, kind) + start + answer
            )

    def answer(self, name, command):
        if name.lower() in ("hello", "ismaster"):
            return {
                "ok": 1.0, "ismaster": True, "helloOk": True, "minWireVersion": 0, "maxWireVersion": 21,
                "maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            }  # fmt: skip
        if name == "find":
            return {"ok": 1.0, "cursor": {"id": 0, "ns": f"shop.{command[name]}", "firstBatch": []}}
        return (
            {"ok": 1.0, "n": 1} if name == "insert" else {"ok": 0.0, "code": 13, "errmsg": "not authorized"}
        )


def with_redis():
    store = redis.Redis(port=int(REDIS))
    store.set("cart:7", "tea")
    store.get("user:8")
    with store.pipeline() as pipeline:
        pipeline.get("a").set("b", 1).execute()


def with_sqlalchemy():
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://shop@127.0.0.1:{POSTGRES}/postgres")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1 WHERE 2 = :two"), {"two": 2})
        with suppress(sqlalchemy.exc.ProgrammingError):
            connection.execute(sqlalchemy.text("SELECT nothing"))


async def queries():
    connection = await asyncpg.connect(host="127.0.0.1", port=int(POSTGRES), user="shop", database="postgres")
    await connection.fetch("SELECT 1 WHERE 2 = $1", 2)
    async with connection.transaction():
        rows = [row async for row in connection.cursor("SELECT generate_series(1, 120)")]
    assert len(rows) == 120
    await connection.close()


def with_asyncpg():
    asyncio.run(queries())


def with_boto3():
    s3 = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{aws.server_port}", region_name="eu-central-1",
        aws_access_key_id="x", aws_secret_access_key="x", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    s3.get_object(Bucket="shop", Key="tea")["Body"].read()
    with suppress(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="shop", Key="missing")


def with_pymongo():
    shop = pymongo.MongoClient("127.0.0.1", mongo.server_address[1]).shop
    assert list(shop.items.find({"name": "tea", "price": {"$gt": 3}})) == []
    shop.items.insert_one({"name": "tea"})
    with suppress(pymongo.errors.OperationFailure):
        shop.items.drop()


socketserver.ThreadingTCPServer.daemon_threads = True
aws = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
mongo = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mongo)
for server in (aws, mongo):
    threading.Thread(target=server.serve_forever, daemon=True).start()
for call in (with_redis, with_sqlalchemy, with_asyncpg, with_boto3, with_pymongo):
    with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(op="job", name=call.__name__):
        call()
        sentry_sdk.capture_message(call.__name__)
print(json.dumps(sorted(sent)))
sentry_sdk.flush(60)
