"""What slotel's Sentry path costs, against Sentry's own SentrySpanProcessor in the same process, interleaved.

CPU of the calling thread, or of the whole process, that a processor adds to a request's spans: Sentry's to a bare
provider, slotel's sink to a provider with the pipeline's view of open spans. Convention: bench/README.md. Needs sentry-sdk 2.x, where that processor still is.
"""

from __future__ import annotations

import gzip
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import sentry_sdk
from micro import main
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, AlwaysRecordSampler, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from slotel.config.service import DEFAULT_KEEP
from slotel.config.tags import TagPolicy
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.sentry.transactions.assembly import Assembly
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transactions.sink import TransactionsSink
from slotel.runtime.sentry.transactions.worker import Worker
from slotel.runtime.sentry.transport.endpoint import Endpoint
from slotel.runtime.sentry.transport.rate_limits import RateLimits

DSN = "http://key@127.0.0.1:9/1"
RESOURCE = Resource({"service.name": "bench", "telemetry.sdk.language": "python", "service.version": "1.2.3"})
SERVER = {
    "http.method": "GET",
    "http.route": "/orders/<id>",
    "http.target": "/orders/7",
    "http.scheme": "http",
    "http.host": "127.0.0.1:8000",
    "http.server_name": "127.0.0.1",
    "http.flavor": "1.1",
    "http.user_agent": "bench/1.0",
    "net.host.port": 8000,
    "net.peer.ip": "127.0.0.1",
    "http.status_code": 200,
}
QUERY = {"db.system": "postgresql", "db.name": "orders", "db.statement": "SELECT * FROM orders WHERE id = %s"}


class NullTransport(Transport):
    """Takes envelopes; serializes and compresses them as sentry-sdk's does, if told to; sends nothing."""

    work = False

    def capture_envelope(self, envelope: Envelope) -> None:
        if self.work:
            gzip.compress(envelope.serialize(), 9)


class NullSender:
    """Takes bodies, sends nothing."""

    def __init__(self) -> None:
        self.limits = RateLimits()

    def offer(self, *_) -> None:
        pass

    def wake(self) -> None:
        pass

    def flush(self, *_) -> bool:
        return True

    def stop(self, *_) -> None:
        pass

    def after_fork(self) -> None:
        pass


class OnlyOpenSpans(SpanProcessor):
    """Only the pipeline's view of open spans, which its metrics need with or without Sentry: slotel's baseline."""

    def __init__(self) -> None:
        self.open_spans = OpenSpans()

    def on_start(self, span, *_, **__) -> None:
        self.open_spans.open(span)

    def on_end(self, span) -> None:
        self.open_spans.close(span.context.span_id)


class Through(SpanProcessor):
    """Entries and sink, as the pipeline calls them, without its other stages."""

    def __init__(self, sink: TransactionsSink) -> None:
        self.sink = sink
        self.open_spans = OpenSpans()

    def on_start(self, span, parent_context=None) -> None:
        self.sink.on_start(span, self.open_spans.open(span), parent_context)

    def on_end(self, span) -> None:
        self.sink.on_end(span, self.open_spans.close(span.context.span_id))


def slotel_sink() -> TransactionsSink:
    def dropped(signal, reason, count):
        raise RuntimeError(f"dropped {count} {signal}: {reason}")

    client = sentry_sdk.get_client()
    keeper = KeepPolicy(DEFAULT_KEEP, 60)
    assembly = Assembly(
        client=client,
        enforcer=Enforcer(TagPolicy(), lambda *_: None),
        endpoint=Endpoint(DSN, client.options),
        keeper=keeper,
        sample_rate=1.0,
        dropped=dropped,
    )
    worker = Worker(assembly, NullSender(), dropped)
    worker.interval = 3600.0
    return TransactionsSink(keeper, worker, dropped)


def provider(rate: float, processor: SpanProcessor | None, *, record: bool) -> TracerProvider:
    sampler = ParentBased(TraceIdRatioBased(rate)) if rate < 1 else ALWAYS_ON
    made = TracerProvider(
        sampler=AlwaysRecordSampler(sampler) if record else ALWAYS_ON,
        resource=RESOURCE,
        shutdown_on_exit=False,
        id_generator=RandomIdGenerator(),
    )
    if processor is not None:
        made.add_span_processor(processor)
    return made


def requests(tracer, count: int, children: int) -> None:
    for _ in range(count):
        with tracer.start_as_current_span("GET /orders/<id>", kind=SpanKind.SERVER, attributes=SERVER):
            for _ in range(children):
                with tracer.start_as_current_span("SELECT orders", kind=SpanKind.CLIENT, attributes=QUERY):
                    pass


def compare(rate: float, children: int, rounds: int, *, everything: bool) -> tuple[float, float]:
    """Return the median CPU, in µs a request, that slotel and Sentry's processor add to bare spans."""
    from sentry_sdk.integrations.opentelemetry import SentrySpanProcessor

    sentry_sdk.init(
        dsn=DSN,
        instrumenter="otel",
        traces_sample_rate=rate,
        transport=NullTransport,
        auto_enabling_integrations=False,
    )
    NullTransport.work = everything
    sink = slotel_sink()
    tracers = {
        "bare": provider(1.0, None, record=False).get_tracer("b"),
        "open": provider(rate, OnlyOpenSpans(), record=True).get_tracer("b"),
        "slotel": provider(rate, Through(sink), record=True).get_tracer("b"),
        "stock": provider(1.0, SentrySpanProcessor(), record=False).get_tracer("b"),
    }
    clock = time.process_time if everything else time.thread_time
    count = 100 if children else 300
    costs: dict[str, list[float]] = {name: [] for name in tracers}
    for number in range(rounds + 2):
        order = list(tracers)
        random.Random(number).shuffle(order)
        for name in order:
            start = clock()
            requests(tracers[name], count, children)
            if everything and name == "slotel":
                sink.flush(60)
            spent = clock() - start
            if name == "slotel":
                sink.flush(60)
            if number >= 2:
                costs[name].append(spent / count * 1e6)
    sink.shutdown()
    # one after the other in each round, so that a round's noise is in both: the median of the rounds' differences
    slotel = statistics.median(a - b for a, b in zip(costs["slotel"], costs["open"], strict=True))
    return slotel, statistics.median(a - b for a, b in zip(costs["stock"], costs["bare"], strict=True))


BUSY = """
import json, os, signal, sys, time
import sentry_sdk
sys.path.insert(0, {here!r})
from opentelemetry.sdk.trace import TracerProvider
from micro_sentry import DSN, RESOURCE, Through, requests
which, dsn, rate, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
made = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
lost = []
if which == "stock":
    from sentry_sdk.integrations.opentelemetry import SentrySpanProcessor
    sentry_sdk.init(dsn=dsn, instrumenter="otel", traces_sample_rate=1.0, auto_enabling_integrations=False)
    made.add_span_processor(SentrySpanProcessor())
else:
    from slotel.config.service import SentrySettings
    from slotel.config.tags import TagPolicy
    from slotel.runtime.redaction.enforcer import Enforcer
    from slotel.runtime.sentry.modes.select import sentry_sink
    sentry_sdk.init(dsn=dsn, auto_enabling_integrations=False)
    sink = sentry_sink(
        SentrySettings(dsn=dsn, traces_sample_rate=1.0), client=sentry_sdk.get_client(),
        enforcer=Enforcer(TagPolicy(), lambda *_: None), resource=RESOURCE, dropped=lambda *why: lost.append(why),
    )
    made.add_span_processor(Through(sink))
tracer = made.get_tracer("b")
start = time.perf_counter()
emitted, spin = 0, 0
while (elapsed := time.perf_counter() - start) < seconds:
    if emitted < elapsed * rate:
        requests(tracer, 1, 10)
        emitted += 1
    else:
        for _ in range(200):
            spin += 1
print(json.dumps({{"emitted": emitted, "seconds": elapsed, "lost": len(lost)}}), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)  # no thread may go on sending while the sink is asked
"""


def busy(which: str, rate: float, seconds: float) -> float:
    """Return how many transactions a second have left a process whose main thread computes without a pause."""
    here = str(Path(__file__).parent)
    sink = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("sink.py"))], stdout=subprocess.PIPE, text=True
    )
    try:
        where = json.loads(sink.stdout.readline())
        command = [sys.executable, "-c", BUSY.format(here=here), which, where["dsn"], str(rate), str(seconds)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with process:
            made = json.loads(process.stdout.readline())
            import urllib.request

            with urllib.request.urlopen(f"http://127.0.0.1:{where['port']}/stats", timeout=30) as answer:
                left = json.loads(answer.read()).get("transaction", 0)
            process.kill()
        if made["lost"]:
            print(f"{which}: {made}", file=sys.stderr)
        return left / made["seconds"]
    finally:
        sink.terminate()
        sink.wait()


def climb(which: str, ladder: tuple[int, ...], seconds: float) -> float:
    """Return the highest rate of the ladder of which 0.8 leave within the window: the rest waits its half second."""
    best = 0.0
    for rate in ladder:
        if busy(which, rate, seconds) < 0.8 * rate:
            break
        best = rate
    return best or ladder[0]


def rows(quick: bool) -> list[dict]:
    rounds = 9 if quick else 25
    found = []

    def row(what, baseline, pair, target, unit="us", **more):
        value, base = pair
        found.append(
            {"what": what, "baseline": baseline, "value": round(value, 2), "baseline_value": round(base, 2),
             "unit": unit, "ratio": round(value / base, 4), "target": target, **more}
        )  # fmt: skip

    stock = "SentrySpanProcessor, null transport"
    for children in (0, 10):
        spans = f"{children + 1} span{'s' if children else ''}"
        row(
            f"request-thread CPU, {spans}, rate 1.0",
            stock,
            compare(1.0, children, rounds, everything=False),
            0.10,
        )
        row(
            f"all CPU with worker, serialization, compression, {spans}, rate 1.0",
            "SentrySpanProcessor, serialized and gzipped as sentry-sdk does",
            compare(1.0, children, rounds, everything=True),
            0.30,
        )
        row(
            f"request-thread CPU, {spans}, rate 0.01, nothing kept",
            f"{stock}, traces_sample_rate 0.01",
            compare(0.01, children, rounds, everything=False),
            0.06,
        )
    seconds = 5.0 if quick else 10.0
    pair = (
        climb("slotel", (200, 300, 400, 600, 800), seconds),
        climb("stock", (15, 20, 30, 40, 60, 80), seconds),
    )
    row("transactions (11 spans) a second that leave while the main thread computes", "SentrySpanProcessor, sentry-sdk",
        pair, 10, unit="1/s", at_least=True)  # fmt: skip
    return found


if __name__ == "__main__":
    main(__doc__, rows)
