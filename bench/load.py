"""The load: GET requests on one keep-alive connection, paced, bounded in count. Runs in its own process."""

from __future__ import annotations

import argparse
import json
import random
import socket
import time


def read_answer(connection: socket.socket) -> tuple[int, bool]:
    """Return the status of one answer, and whether the connection stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionError("the server hung up")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    left = int(headers["content-length"]) - len(body)
    while left > 0:
        left -= len(connection.recv(65_536))
    return int(first.split(" ")[1]), headers.get("connection", "").lower() != "close"


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def due_times(count: int, rate: float, seed: int | None) -> list[float]:
    """Return when each request may be sent, in seconds from the start: every 1/rate s, or as a Poisson process.

    Two loads of even steps keep their phase for a whole run: either each error meets a good request, or none does.
    """
    if not rate:
        return [0.0] * count
    if seed is None:
        return [number / rate for number in range(count)]
    draw = random.Random(seed)
    return sorted(draw.uniform(0.0, count / rate) for _ in range(count))


def run(port: int, path: str, due: list[float], most_seconds: float) -> dict:
    """Send a request for each due time, not before it and not before the answer of the last one."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n".encode()
    connection: socket.socket | None = None
    statuses: dict[str, int] = {}
    latencies: list[float] = []
    connects = 0
    start = time.perf_counter()
    for moment in due:
        now = time.perf_counter() - start
        if now > most_seconds:
            break
        if (wait := moment - now) > 0:
            time.sleep(wait)
        began = time.perf_counter()
        for fresh in (connection is None, True):
            if fresh:
                connection = connect(port)
                connects += 1
            try:
                connection.sendall(request)
                status, stays = read_answer(connection)
                break
            except ConnectionError:
                # uvicorn hangs up after a raising handler, just after its answer: the request was never read
                connection.close()
                if fresh:
                    raise
        latencies.append(time.perf_counter() - began)
        statuses[str(status)] = statuses.get(str(status), 0) + 1
        if not stays:
            connection.close()
            connection = None
    latencies.sort()
    sent = len(latencies)
    return {
        "sent": sent,
        "statuses": statuses,
        "connects": connects,
        "seconds": time.perf_counter() - start,
        "p50_ms": latencies[sent // 2] * 1e3,
        "p99_ms": latencies[sent * 99 // 100] * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/ok")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument(
        "--rate", type=float, default=100.0, help="requests per second; 0: as fast as answered"
    )
    parser.add_argument("--most-seconds", type=float, default=600.0)
    parser.add_argument(
        "--seed", type=int, help="send at random moments, of this seed; default: in even steps"
    )
    options = parser.parse_args()
    due = due_times(options.count, options.rate, options.seed)
    print(json.dumps(run(options.port, options.path, due, options.most_seconds)))


if __name__ == "__main__":
    main()
