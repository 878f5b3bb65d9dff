"""OTLP load: spans encoded once, given new trace ids for every request, posted by threads at a rate. Bounded in time.

    python bench/otlp_load.py http://127.0.0.1:4318 --rate 5000 --seconds 10

sends only to loopback, prints one JSON line: spans sent, accepted, refused (429, 503), failed, and bytes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time
from copy import copy
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

SPANS_PER_TRACE = 10
ROUTES = 20
MAX_SECONDS = 120


@dataclass
class Tally:
    """What became of the spans of a run."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Template:
    """One encoded request of whole traces, whose trace and span ids can be replaced in place.

    Args:
        spans: of one request, a multiple of SPANS_PER_TRACE.
        errors: share of traces with a failed root.
    """

    def __init__(self, spans: int, service: str, *, slotel: bool, errors: float, seed: int = 7) -> None:
        dice = random.Random(seed)
        self._markers = [dice.randbytes(16) for _ in range(spans // SPANS_PER_TRACE)]
        message = ExportTraceServiceRequest()
        group = message.resource_spans.add()
        resource = {"service.name": service, "service.version": "1.2.3", "host.name": "node-1"}
        if slotel:
            resource["telemetry.distro.name"] = "slotel"
        group.resource.attributes.extend(_pairs(resource))
        scope = group.scope_spans.add()
        now = time.time_ns()
        for marker in self._markers:
            failed = dice.random() < errors
            route = f"/items/{dice.randrange(ROUTES)}"
            for index in range(SPANS_PER_TRACE):
                span = scope.spans.add(
                    name=f"GET {route}" if index == 0 else "SELECT items",
                    trace_id=marker,
                    span_id=dice.randbytes(8),
                    parent_span_id=b"" if index == 0 else dice.randbytes(8),
                    kind=2 if index == 0 else 3,
                    start_time_unix_nano=now - 20_000_000,
                    end_time_unix_nano=now - dice.randrange(19_000_000),
                    attributes=_pairs(
                        {"http.request.method": "GET", "http.route": route, "http.response.status_code": 500 if failed else 200,
                         "url.full": f"https://shop.test{route}?page=2&q=x", "server.address": "shop.test", "user_agent.original": "load/1"}
                        if index == 0
                        else {"db.system.name": "postgresql", "db.query.text": "SELECT * FROM items WHERE id = $1", "server.address": "db"}
                    ),
                )  # fmt: skip
                if failed and index == 0:
                    span.status.code = 2
        self.body = bytearray(message.SerializeToString())
        self.spans = spans
        raw, self._places = bytes(self.body), []
        for marker in self._markers:
            places, at = [], raw.find(marker)
            while len(places) < SPANS_PER_TRACE:  # a trace's spans stand together
                places.append(at)
                at = raw.find(marker, at + 16)
            self._places.append(places)

    def copy(self) -> Template:
        """Return one with a body of its own."""
        twin = copy(self)
        twin.body = bytearray(self.body)
        return twin

    def renew(self) -> bytes:
        """Return the request with trace ids that nobody has seen."""
        for places in self._places:
            fresh = os.urandom(16)
            for at in places:
                self.body[at : at + 16] = fresh
        return bytes(self.body)


def run(
    endpoint: str,
    *,
    rate: float,
    seconds: float,
    threads: int = 1,
    spans: int = 500,
    slotel: bool = False,
    errors: float = 0.01,
    service: str = "load",
) -> Tally:
    """Send for a time; at a rate in spans per second, or as fast as it is taken when rate is 0. Refused is not resent."""
    url = urlsplit(endpoint)
    if url.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("this load is for loopback only")
    seconds = min(seconds, MAX_SECONDS)
    tally, lock = Tally(), threading.Lock()
    template = Template(spans, service, slotel=slotel, errors=errors)
    templates = [template.copy() for _ in range(threads)]
    started = time.monotonic()

    def send(index: int) -> None:
        template = templates[index]
        mine = Tally()
        connection = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port, timeout=20)
        due = time.monotonic()
        while time.monotonic() - started < seconds:
            if rate:
                due += spans * threads / rate
                time.sleep(max(0.0, due - time.monotonic()))
            body = template.renew()
            mine.sent += spans
            mine.bytes += len(body)
            try:
                connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            if status == 200:
                mine.accepted += spans
            elif status in {429, 503}:
                mine.refused += spans
            else:
                mine.failed += spans
        connection.close()
        with lock:
            for name in ("sent", "accepted", "refused", "failed", "bytes"):
                setattr(tally, name, getattr(tally, name) + getattr(mine, name))

    workers = [threading.Thread(target=send, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tally.seconds = time.monotonic() - started
    return tally


def _pairs(attributes: dict[str, object]) -> list[KeyValue]:
    return [
        KeyValue(
            key=key,
            value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=str(value)),
        )
        for key, value in attributes.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("--rate", type=float, default=1000, help="spans a second; 0: as fast as it is taken")
    parser.add_argument("--seconds", type=float, default=10, help=f"at most {MAX_SECONDS}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spans", type=int, default=500, help="of one request")
    parser.add_argument(
        "--slotel", action="store_true", help="as a service under slotel: not counted by the collector"
    )
    parser.add_argument("--errors", type=float, default=0.01)
    options = parser.parse_args()
    tally = run(
        **{key: value for key, value in vars(options).items() if key != "endpoint"}, endpoint=options.endpoint
    )
    json.dump(asdict(tally), sys.stdout)
    print()


if __name__ == "__main__":
    main()
