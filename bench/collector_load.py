"""What a collector costs: CPU, memory and bytes of agent and gateway at rising rates, and what happens when they are full.

    python bench/collector_load.py            # about four minutes; --quick: one

Every process is real and on loopback; the load, its sender and the sink are processes of their own. CPU is the
kernel's account of the collector's process. Prints Markdown tables; docs/scale.md quotes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.launch import clean_environ, free_port  # noqa: E402 the tests' own way to start a collector
from support.otelcol import Collector, find_otelcol  # noqa: E402
from support.prom import Prometheus  # noqa: E402

SINK = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def serve(connection):
    stream = connection.makefile("rb")
    while True:
        length = 0
        line = stream.readline()
        if not line: return
        while line not in (b"\\r\\n", b""):
            if line.lower().startswith(b"content-length:"): length = int(line.split(b":")[1])
            line = stream.readline()
        stream.read(length)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class Sample:
    """CPU seconds and resident memory of a process between two looks; the highest memory in between.

    `own` is that without mapped files (the binary, the queues): what a memory limiter and an OOM kill are about.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu = self._used()
        self.peak = self.own = 0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            memory = self._process.memory_info()
            self.peak = max(self.peak, memory.rss)
            self.own = max(self.own, memory.rss - memory.shared)

    def end(self) -> tuple[float, float]:
        """CPU seconds, peak memory in MiB."""
        self._stop.set()
        self._watcher.join()
        return self._used() - self._cpu, self.peak / 2**20


def load(endpoint: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, str(ROOT / "bench/otlp_load.py"), endpoint, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout)


class Bench:
    """The processes of a run; ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binary = find_otelcol()
        port = free_port()
        self.sink = subprocess.Popen([sys.executable, "-c", SINK, str(port)], env=clean_environ())
        self.sink_url = f"http://127.0.0.1:{port}/api/1/integration/otlp/v1/traces/"
        self._count = 0

    def collector(self, file: str, **env: str) -> Collector:
        self._count += 1
        state = self.folder / str(self._count)
        return Collector(
            self.binary,
            state,
            file,
            env={"SENTRY_OTLP_TRACES_URL": self.sink_url, "SPAN_METRICS_FLUSH": "15s", **env},
        )

    def close(self) -> None:
        self.sink.terminate()
        self.sink.wait(10)


def rates(bench: Bench, seconds: float, ladder: list[int]) -> None:
    print(
        "\n| process | spans/s offered | accepted/s | CPU, cores | CPU ms per 1,000 spans | memory, MiB | bytes in per span |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in ("gateway", "agent", "agent, slotel's services", "one collector"):
        gateway = bench.collector("gateway.yaml", OTELCOL_MEMORY_MIB="1600", OTELCOL_MEMORY_SPIKE_MIB="640")
        resolver = f"{{static: {{hostnames: ['127.0.0.1:{gateway.grpc_port}']}}}}"
        if kind == "gateway":
            target = gateway
        elif kind == "one collector":
            target = bench.collector("otel-collector.yaml")
        else:
            target = bench.collector("agent.yaml", GATEWAY_RESOLVER=resolver)
        try:
            for rate in ladder:
                arguments = [f"--rate={rate}", f"--seconds={seconds}", "--threads=2"]
                if "slotel" in kind:
                    arguments.append("--slotel")
                sample = Sample(target.pid)
                tally = load(target.otlp, *arguments)
                cpu, memory = sample.end()
                took = tally["seconds"]
                print(
                    f"| {kind} | {rate or 'as many as it takes':} | {tally['accepted'] / took:,.0f} | {cpu / took:.2f} "
                    f"| {1e6 * cpu / tally['accepted']:.1f} | {memory:.0f} | {tally['bytes'] / tally['sent']:.0f} |",
                    flush=True,
                )
        finally:
            target.stop(patience=5)
            gateway.stop(patience=5)


def full(bench: Bench, seconds: float) -> None:
    """More than it can hold: large requests from many senders, a small memory limit."""
    print(
        "\n| process | memory limit, MiB | peak, MiB | of it no mapped file | spans sent | accepted | refused | failed | counted by span metrics | limiter's own count of refused |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind, file, limit in (("agent", "agent.yaml", 100), ("gateway", "gateway.yaml", 100)):
        gateway = bench.collector("gateway.yaml")
        resolver = f"{{static: {{hostnames: ['127.0.0.1:{gateway.grpc_port}']}}}}"
        target = bench.collector(
            file,
            GATEWAY_RESOLVER=resolver,
            OTELCOL_MEMORY_MIB=str(limit),
            OTELCOL_MEMORY_SPIKE_MIB=str(int(limit * 0.4)),
            GOMEMLIMIT=f"{int(limit * 0.6)}MiB",
            SPAN_METRICS_FLUSH="1s",
        )
        try:
            sample = Sample(target.pid)
            tally = load(target.otlp, "--rate=0", f"--seconds={seconds}", "--threads=8", "--spans=8000")
            _, peak = sample.end()
            counted = "-"
            if kind == "agent":
                time.sleep(3)  # two flushes
                counted = f"{target.metric('traces_span_metrics_calls_total'):,.0f}"
            refused = target.metric("otelcol_processor_memory_limiter_refused_spans_total", own=True)
            again = load(target.otlp, "--rate=500", "--seconds=3")
            print(
                f"| {kind} | {limit} | {peak:.0f} | {sample.own / 2**20:.0f} | {tally['sent']:,} | {tally['accepted']:,} | {tally['refused']:,} | {tally['failed']:,} "
                f"| {counted} | {refused:,.0f} |",
                flush=True,
            )
            print(
                f"<!-- {kind} afterwards at 500/s: accepted {again['accepted']} of {again['sent']} -->",
                file=sys.stderr,
            )
        finally:
            target.stop(patience=5)
            gateway.stop(patience=5)


SERVICE = """
import os, sys, time
from opentelemetry import trace
tracer, rate, seconds = trace.get_tracer("load"), float(sys.argv[1]), float(sys.argv[2])
def one():
    with tracer.start_as_current_span("GET /items", kind=trace.SpanKind.SERVER, attributes={"http.route": "/items", "http.response.status_code": 200}):
        for _ in range(9):
            with tracer.start_as_current_span("SELECT items", kind=trace.SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}):
                pass
one(); time.sleep(1.5)
began, cpu, due = time.monotonic(), time.process_time(), time.monotonic()
while time.monotonic() - began < seconds:
    if rate: one()
    due += 10 / (rate or 1000)
    time.sleep(max(0, due - time.monotonic()))
print(time.process_time() - cpu)
"""


def services(bench: Bench, seconds: float, rate: int) -> None:
    """A process that makes spans: with the API alone, under slotel, and under slotel with OTLP to an agent."""
    print(f"\n| service, {rate} spans/s in traces of {10} | CPU ms per 1,000 spans, above an idle process |")
    print("| --- | --- |")
    with bench.collector("otel-collector.yaml") as agent:
        launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
        for name, command, env in (
            ("API only", [sys.executable], {}),
            (
                "slotel: counted, shipped nowhere",
                [launcher, sys.executable],
                {"OTEL_TRACES_EXPORTER": "none"},
            ),
            (
                "slotel: counted, every trace by OTLP",
                [launcher, sys.executable],
                {"OTEL_TRACES_EXPORTER": "otlp"},
            ),
        ):
            found = []
            for chosen in (0, rate):
                variables = {
                    "OTEL_SERVICE_NAME": "load",
                    "OTEL_METRICS_EXPORTER": "prometheus",
                    "OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port()),
                    "OTEL_EXPORTER_OTLP_ENDPOINT": agent.otlp,
                    **env,
                }
                run = subprocess.run(
                    [*command, "-c", SERVICE, str(chosen), str(seconds)],
                    env=clean_environ(**variables),
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=120,
                )
                found.append(float(run.stdout.split()[-1]))
            print(f"| {name} | {1e6 * (found[1] - found[0]) / (rate * seconds):.0f} |", flush=True)


PAGE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
count, bounds = int(sys.argv[2]) // 20, [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 2.5, 5, 10, 15, "+Inf"]
lines = ["# TYPE traces_span_metrics_calls counter"]
labels = ['service_name="s%d",span_name="GET /r%d",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET",http_route="/r%d",http_response_status_code="200"' % (n // 60, n % 60, n % 60) for n in range(count)]
lines += ["traces_span_metrics_calls_total{%s} 17" % one for one in labels]
lines.append("# TYPE traces_span_metrics_duration_seconds histogram")
for one in labels:
    lines += ['traces_span_metrics_duration_seconds_bucket{%s,le="%s"} 17' % (one, bound) for bound in bounds]
    lines += ["traces_span_metrics_duration_seconds_count{%s} 17" % one, "traces_span_metrics_duration_seconds_sum{%s} 1.7" % one]
page = ("\\n".join(lines) + "\\n# EOF\\n").encode()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *args): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def prometheus(folder: Path, series: int, seconds: float) -> None:
    """What a series costs Prometheus: memory of the head, CPU of a scrape."""
    port = free_port()
    page = subprocess.Popen([sys.executable, "-c", PAGE, str(port), str(series)])
    try:
        with Prometheus(folder / "prometheus", {"page": [f"127.0.0.1:{port}"]}, interval="5s") as running:
            pid = running._process.pid
            empty = psutil.Process(pid).memory_info().rss
            running.wait("up", 1, 60)
            sample = Sample(pid)
            time.sleep(seconds)
            cpu, memory = sample.end()
            there = running.value('count({__name__=~"traces_.*"})')
    finally:
        page.kill()
        page.wait(10)
    print("\n| Prometheus: series | memory, KiB a series | CPU ms per 100,000 samples |\n| --- | --- | --- |")
    samples = there * seconds / 5
    print(
        f"| {there:,.0f} | {(memory - empty / 2**20) * 1024 / there:.1f} | {1e8 * cpu / samples:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default="services,rates,full,prometheus")
    options = parser.parse_args()
    seconds = 4 if options.quick else 12
    ladder = [1000, 0] if options.quick else [1000, 5000, 10000, 0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        time.sleep(0.5)
        try:
            if "services" in options.parts:
                services(bench, seconds, 1000)
            if "rates" in options.parts:
                rates(bench, seconds, ladder)
            if "full" in options.parts:
                full(bench, seconds)
            if "prometheus" in options.parts:
                prometheus(bench.folder, 100_000, 4 * seconds)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
