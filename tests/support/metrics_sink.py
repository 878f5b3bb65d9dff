"""A loopback end for OTLP metrics over HTTP: keeps each request that it takes."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from support.program import Posts


class Sink:
    """Takes OTLP metrics over HTTP."""

    def __init__(self) -> None:
        self.received: list[ExportMetricsServiceRequest] = []
        self.garbled = 0
        """Requests that were none."""
        posts = Posts(self._take)
        self.address, self.close = f"{posts.url}/v1/metrics", posts.close

    def _take(self, _: BaseHTTPRequestHandler, body: bytes) -> int:
        try:
            self.received.append(ExportMetricsServiceRequest.FromString(body))
        except DecodeError:
            self.garbled += 1
        return 200
