"""Calls the greeter: twice well, once with a wrong argument, once where it fails."""

import os

import grpc

with grpc.insecure_channel(f"127.0.0.1:{os.environ.get('PORT', '50051')}") as channel:
    greet = channel.unary_unary("/shop.Greeter/Greet")
    fail = channel.unary_unary("/shop.Greeter/Fail")
    print(greet(b"Ada", wait_for_ready=True).decode(), greet(b"Grace").decode())
    for call, argument in ((greet, b""), (fail, b"Ada")):
        try:
            call(argument)
        except grpc.RpcError as error:
            print(error.code().name)
