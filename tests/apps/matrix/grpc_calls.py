"""gRPC, a server in this process and a client in another: what each way of a call comes to. Prints the outcomes.

`grpc_calls.py aio` serves with grpc.aio, `grpc_calls.py … alone` without slotel.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc

IS_ALONE = "alone" in sys.argv
"""Without slotel: what clients get is the oracle."""


def serialized(value):
    """As protobuf's: of its own kind only."""
    if not isinstance(value, bytes):
        raise TypeError(value)
    return value


def read(value):
    if value == b"unreadable":
        raise TypeError(value)
    return value


def ok(_request, _context):
    return b"ok"


def takes_unreadable(requests, _context):
    return b"".join(requests)


def raises(_request, _context):
    raise ValueError("raises")


def raises_bare(_request, _context):
    raise Exception  # noqa: TRY002 as `abort` does


def not_found(_request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no")


def internal(_request, context):
    context.abort(grpc.StatusCode.INTERNAL, "no")


def data_loss(_request, context):
    context.set_code(grpc.StatusCode.DATA_LOSS)
    return b""


def until_over(context):
    for _ in range(400):
        if not context.is_active():
            return
        time.sleep(0.02)


def leaves(_request, context):
    until_over(context)
    return b""


def late(_request, context):
    until_over(context)
    return b""


def late_refusal(_request, context):
    until_over(context)
    context.abort(grpc.StatusCode.NOT_FOUND, "no")


def late_raises(_request, context):
    until_over(context)
    raise ValueError("late_raises")


def stream_late(_request, context):
    yield b"part"
    until_over(context)
    yield b"part"


def stream_breaks(_request, _context):
    yield b"part"
    raise ValueError("stream_breaks")


def gives_none(_request, _context):
    """What a handler gives that its author has not written yet."""


def stream_text(_request, _context):
    yield b"part"
    yield "text"


def stream_number(_request, _context):
    yield b"part"
    yield 5


def rich_status(_request, context):
    context.abort_with_status(RichStatus(grpc.StatusCode.UNAVAILABLE, "rich"))


def rich_refusal(_request, context):
    context.abort_with_status(RichStatus(grpc.StatusCode.NOT_FOUND, "rich"))


def uncompressed(_request, context):
    context.disable_next_message_compression()
    return b"ok"


class RichStatus(grpc.Status):
    """As grpcio-status makes it."""

    def __init__(self, code, details):
        self.code, self.details, self.trailing_metadata = code, details, ()


SYNC = (
    ok, takes_unreadable, raises, raises_bare, not_found, internal, data_loss, leaves, stream_breaks, gives_none, stream_text, stream_number, rich_status,
    rich_refusal, uncompressed, late, late_refusal, late_raises, stream_late,
)  # fmt: skip


async def aio_ok(_request, _context):
    return b"ok"


async def aio_takes_unreadable(requests, _context):
    return b"".join([each async for each in requests])


async def aio_raises(_request, _context):
    raise ValueError("raises")


async def aio_rich_status(_request, context):
    await context.abort_with_status(RichStatus(grpc.StatusCode.UNAVAILABLE, "rich"))


async def aio_rich_refusal(_request, context):
    await context.abort_with_status(RichStatus(grpc.StatusCode.NOT_FOUND, "rich"))


async def aio_raises_bare(_request, _context):
    raise Exception  # noqa: TRY002 as `abort` does


async def aio_not_found(_request, context):
    await context.abort(grpc.StatusCode.NOT_FOUND, "no")


async def aio_internal(_request, context):
    await context.abort(grpc.StatusCode.INTERNAL, "no")


async def aio_data_loss(_request, context):
    context.set_code(grpc.StatusCode.DATA_LOSS)
    return b""


async def aio_leaves(_request, _context):
    await asyncio.sleep(8)
    return b"the client is still there"


async def aio_late(_request, _context):
    await asyncio.sleep(8)
    return b"the client is still there"


async def aio_stream_late(_request, _context):
    yield b"part"
    await asyncio.sleep(8)
    yield b"the client is still there"


async def aio_stream_breaks(_request, _context):
    yield b"part"
    raise ValueError("stream_breaks")


async def aio_gives_none(_request, _context):
    pass


async def aio_stream_text(_request, _context):
    yield b"part"
    yield "text"


async def aio_stream_number(_request, _context):
    yield b"part"
    yield 5


def aio_synchronous_none(_request, _context):
    pass


async def aio_stream_written(_request, context):
    await context.write(b"part")
    await context.write(b"part")


async def aio_stream_written_breaks(_request, context):
    await context.write(b"part")
    raise ValueError("stream_written_breaks")


def aio_synchronous(_request, _context):
    return b"ok"


def aio_synchronous_raises(_request, _context):
    raise ValueError("synchronous_raises")


def aio_synchronous_not_found(_request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no")


def aio_synchronous_stream(_request, _context):
    yield b"part"


AIO = (
    aio_ok, aio_takes_unreadable, aio_raises, aio_not_found, aio_internal, aio_data_loss, aio_leaves, aio_stream_breaks, aio_gives_none,
    aio_stream_text, aio_stream_written, aio_stream_written_breaks, aio_synchronous, aio_synchronous_raises,
    aio_synchronous_stream, aio_stream_number, aio_synchronous_none, aio_synchronous_not_found, aio_raises_bare,
    aio_rich_status, aio_rich_refusal, aio_late, aio_stream_late,
)  # fmt: skip
UNKNOWN = ("no_such_method", "no_such_other", "interceptor_raises", "ok unreadable")
"""Calls that come to no handler: gRPC answers them itself."""


class Interceptor(grpc.ServerInterceptor):
    """One of the application's: it raises where it looks at a method."""

    def intercept_service(self, continuation, details):
        if details.method.endswith("/interceptor_raises"):
            raise ValueError("interceptor_raises")
        return continuation(details)


class AioInterceptor(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation, details):
        if details.method.endswith("/interceptor_raises"):
            raise ValueError("interceptor_raises")
        return await continuation(details)


CLIENT = """
import sys, time, grpc
for line in sys.stdin:
    name = line.rstrip()
    method, _, content = name.partition(" ")
    with grpc.insecure_channel(sys.argv[1]) as channel:
        takes = name.startswith("takes")
        call = channel.unary_stream if "stream" in name else channel.stream_unary if takes else channel.unary_unary
        make = call("/shop.Shop/" + method, request_serializer=bytes, response_deserializer=bytes)
        timeout = 0.4 if "late" in name else None
        try:
            if name == "leaves":
                call = make.future(b"")
                time.sleep(0.4)
                call.cancel()
                code = call.code().name
            else:
                answer = make(iter([b"read", b"unreadable"]) if takes else content.encode(), timeout=timeout)
                "stream" in name and list(answer)
                code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
    print(code, flush=True)
"""


def handlers(acts):
    make = {"request_deserializer": read, "response_serializer": serialized}
    found = {}
    for act in acts:
        name = act.__name__.removeprefix("aio_")
        kind = (
            grpc.unary_stream_rpc_method_handler
            if "stream" in name
            else grpc.stream_unary_rpc_method_handler
            if name.startswith("takes")
            else grpc.unary_unary_rpc_method_handler
        )
        found[name] = kind(act, **make)
    return found


def outcomes():
    if IS_ALONE:
        return {}
    from slotel.runtime.state import current

    for family in current().store.snapshot():
        if family.name == "slo_events":
            return {key[-1]: row[0] for key, row in family.series.items()}
    return {}


def names():
    """Return the names under which calls are counted, each with the statuses of its spans."""
    if IS_ALONE:
        return {}
    from slotel.runtime.state import current

    families = [each for each in current().store.snapshot() if each.name == "traces_span_metrics_calls"]
    labels = [dict(zip(each.label_names, key, strict=True)) for each in families for key in each.series]
    calls = [each for each in labels if each["span_kind"] == "SPAN_KIND_SERVER"]
    return {each["span_name"]: each["status_code"].removeprefix("STATUS_CODE_") for each in calls}


def ask(port, names):
    """Call each method; return the client's code and what was counted."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = {}
    command = [sys.executable, "-c", CLIENT, f"127.0.0.1:{port}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True) as client:
        for name in names:
            before = outcomes()
            print(name, file=client.stdin, flush=True)
            code = client.stdout.readline().strip()
            until = time.monotonic() + 20
            while not IS_ALONE and outcomes() == before and time.monotonic() < until:
                time.sleep(0.05)
            after = outcomes()
            counted = {key: after[key] - before[key] for key in after if after[key] != before[key]}
            told[name] = [code, counted]
    return told


def serve_sync():
    found = handlers(SYNC)
    server = grpc.server(
        futures.ThreadPoolExecutor(2), None, [Interceptor()]
    )  # as some pass them: by position
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", found),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    told = ask(port, (*found, *UNKNOWN))
    # now and then gRPC waits for a call for ever that ended at its deadline, also without slotel
    threading.Thread(target=server.stop, args=(None,), daemon=True).start()
    return told


async def serve_aio():
    found = handlers(AIO)
    server = grpc.aio.server(futures.ThreadPoolExecutor(2), None, [AioInterceptor()])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", found),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    told = await asyncio.to_thread(ask, port, (*found, *UNKNOWN))
    await server.stop(None)
    return told


if __name__ == "__main__":
    import plain  # noqa: F401 the oracle

    told = asyncio.run(serve_aio()) if "aio" in sys.argv else serve_sync()
    print(json.dumps({**told, "names": names()}), flush=True)
