"""A small fleet on loopback: services, two agents, two gateways, Prometheus, a sink for Sentry. All real processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from slotel.cli.sink.server import SentrySink
from slotel.compile.prometheus import rules
from slotel.config.load import read_configuration
from support.launch import Launched
from support.otelcol import Collector
from support.otlp import OtlpSink, Sent, post, request
from support.ports import free_port
from support.prom import Prometheus

CALLS = "traces_span_metrics_calls_total"
TAIL_WAIT = 4
"""Seconds that a gateway waits for the rest of a trace."""

SERVER = ("gunicorn", "--workers=2", "--threads=2", "--bind=127.0.0.1:{port}", "chain_app:app")

SLOTEL_YAML = """\
version: 1
service: stock
tags:
  required:
    team: {default: payments}
slos:
  - name: availability
    objective: 99.9%
"""


class Fleet:
    """Owns every process; `legacy` is the service that only sends OTLP: the test itself.

    Args:
        services: whether shop and stock, services under slotel in prefork servers, run too.
        tail_wait: seconds that a gateway waits for the rest of a trace.
        agent_files: further configurations of the agents.
    """

    def __init__(
        self,
        otelcol: str,
        folder: Path,
        *,
        services: bool,
        tail_wait: int = TAIL_WAIT,
        agent_files: Sequence[Path] = (),
    ) -> None:
        self._stack = ExitStack()
        self._otelcol = otelcol
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.sink = self._stack.enter_context(OtlpSink())
        self.issues = self._stack.enter_context(SentrySink())
        tail = {
            "SENTRY_OTLP_TRACES_URL": self.sink.url,
            "TAIL_WAIT": f"{tail_wait}s",
            "TAIL_BASELINE_PERCENT": "0",
        }
        self.gateways = self._both("gateway", tail)
        hosts = ", ".join(f"'127.0.0.1:{gateway.grpc_port}'" for gateway in self.gateways)
        resolver = {"GATEWAY_RESOLVER": f"{{static: {{hostnames: [{hosts}]}}}}"}
        self.agents = self._both("agent", resolver, agent_files)
        self.services: list[Launched] = self._start_services() if services else []
        self.prometheus = self._stack.enter_context(
            Prometheus(
                folder / "prometheus",
                {
                    "services": [f"127.0.0.1:{service.metrics_port}" for service in self.services],
                    "agents": [f"127.0.0.1:{agent.prometheus_port}" for agent in self.agents],
                    "otelcol-agent": [f"127.0.0.1:{agent.telemetry_port}" for agent in self.agents],
                    "otelcol-gateway": [f"127.0.0.1:{gateway.telemetry_port}" for gateway in self.gateways],
                },
                [self._rules()],
            )
        )
        for service in self.services:
            service.wait_ready()
        targets = 2 * len(self.agents) + len(self.gateways) + len(self.services)
        self.prometheus.wait("sum(up)", targets)  # it looks for its targets every five seconds

    def _both(self, kind: str, env: dict[str, str], files: Sequence[Path] = ()) -> list[Collector]:
        def start(number: int) -> Collector:
            state = self._folder / f"{kind}{number}"
            return Collector(self._otelcol, state, f"{kind}.yaml", *files, env=env)

        with ThreadPoolExecutor() as pool:
            return [self._stack.enter_context(collector) for collector in pool.map(start, (0, 1))]

    def _start_services(self) -> list[Launched]:
        port = free_port()
        (self._folder / "slotel.yaml").write_text(SLOTEL_YAML)
        shop = self._service("shop", self.agents[0], {"NEXT_URL": f"http://127.0.0.1:{port}"})
        stock = self._service(
            "stock", self.agents[1], {"SLOTEL_CONFIG": str(self._folder / "slotel.yaml")}, port
        )
        return [shop, stock]

    def _service(self, name: str, agent: Collector, env: dict[str, str], port: int = 0) -> Launched:
        return self._stack.enter_context(
            Launched(
                *SERVER,
                port=port,
                env={
                    "OTEL_SERVICE_NAME": name,
                    "SENTRY_DSN": self.issues.dsn("7"),
                    "SLOTEL_SENTRY_MODE": "errors",
                    "OTEL_TRACES_EXPORTER": "otlp",
                    "OTEL_METRICS_EXPORTER": "prometheus",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": agent.otlp,
                    "OTEL_BSP_SCHEDULE_DELAY": "200",
                    **env,
                },
            )
        )

    def _rules(self) -> Path:
        (self._folder / "slotel.yaml").write_text(SLOTEL_YAML)
        [text] = rules.files(read_configuration({}, str(self._folder / "slotel.yaml")).service).values()
        path = self._folder / "rules.yaml"
        path.write_text(re.sub(r"interval: \S+", "interval: 1s", text))  # as they are, but evaluated at once
        return path

    def send(self, count: int, name: str, *, agent: int | None = None, **fields: object) -> list[Sent]:
        """Send spans of `legacy`, each a trace of its own, in small requests to one agent or to both in turn."""
        spans = [Sent(name=name, **fields) for _ in range(count)]
        for start in range(0, count, 5):
            chosen = self.agents[agent if agent is not None else start // 5 % 2]
            assert post(chosen.otlp, request(spans[start : start + 5])) == 200
        return spans

    def counted(self, name: str) -> str:
        """The PromQL of a name's count over all agents."""
        return f'sum({CALLS}{{span_name="{name}"}})'

    def arrived(self, spans: list[Sent]) -> set[bytes]:
        """The trace ids of those spans that are at the sink."""
        return {span.trace_id for span in spans} & {span.trace_id for span in self.sink.spans}

    def all_arrived(self, spans: list[Sent]) -> bool:
        return len(self.arrived(spans)) == len(spans)

    def close(self) -> None:
        self._stack.close()
