"""A real Redis for a test: its own process and port, nothing on disk."""

import shutil
import socket
import subprocess
from contextlib import contextmanager

import pytest

from support.launch import wait_until
from support.ports import free_port


@contextmanager
def redis_server():
    """Yield the port of a Redis; the test is skipped where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: make apps")
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port), "redis answers")
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
