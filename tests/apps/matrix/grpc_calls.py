"""gRPC, a server in this process and a client in another: what each way of a call comes to. Prints the outcomes."""

import json
import os
import subprocess
import sys
from concurrent import futures

import grpc


def same(value):
    return value


def ok(_request, _context):
    return b"ok"


def raises(_request, _context):
    raise ValueError("raises")


def not_found(_request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no")


def internal(_request, context):
    context.abort(grpc.StatusCode.INTERNAL, "no")


def data_loss(_request, context):
    context.set_code(grpc.StatusCode.DATA_LOSS)
    return b""


def stream_breaks(_request, _context):
    yield b"part"
    raise ValueError("stream_breaks")


UNARY = (ok, raises, not_found, internal, data_loss)
CLIENT = """
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_stream if sys.argv[2] == "stream_breaks" else channel.unary_unary
try:
    answer = call("/shop.Shop/" + sys.argv[2], request_serializer=bytes, response_deserializer=bytes)(b"")
    sys.argv[2] == "stream_breaks" and list(answer)
    print("OK")
except grpc.RpcError as error:
    print(error.code().name)
"""


def outcomes(runtime):
    for family in runtime.store.snapshot():
        if family.name == "slo_events":
            return {key[-1]: row[0] for key, row in family.series.items()}
    return {}


def main():
    from slotel.runtime.state import current

    runtime = current()
    make = {"request_deserializer": same, "response_serializer": same}
    handlers = {act.__name__: grpc.unary_unary_rpc_method_handler(act, **make) for act in UNARY}
    handlers["stream_breaks"] = grpc.unary_stream_rpc_method_handler(stream_breaks, **make)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = {}
    for name in handlers:
        before = outcomes(runtime)
        command = [sys.executable, "-c", CLIENT, f"127.0.0.1:{port}", name]
        code = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()
        after = outcomes(runtime)
        told[name] = [code, {key: after[key] - before[key] for key in after if after[key] != before[key]}]
    server.stop(None)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
