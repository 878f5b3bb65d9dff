"""A greeter with gRPC, without generated code: the messages are bytes. It has no telemetry code."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc


def greet(name, context):
    if not name:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a name is needed")
    return b"hello " + name


def fail(name, context):
    raise RuntimeError("the directory is down")


HANDLERS = {
    "Greet": grpc.unary_unary_rpc_method_handler(greet),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
}


def serve(port):
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Greeter", HANDLERS)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(os.environ.get("PORT", "50051")))
