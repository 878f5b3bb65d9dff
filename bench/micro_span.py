"""What a span costs from start to end: the SDK without a processor against the same through slotel's stages.

Nothing is shipped: this is the price of adoption, enforcement and measuring alone. `--json`, `--quick`: see README.md.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import thread_time_ns

from micro import main
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, Tracer

from slotel.config.load import read_configuration
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.span_metrics import SpanMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.tracing.processor import SlotelSpanProcessor
from slotel.runtime.tracing.provider import install_pipeline, record_every_span

TARGET = 0.9
BATCH = 500
FILE = Path(__file__).resolve().parent / "apps" / "slotel.yaml"
HTTP = {
    "http.request.method": "GET", "url.scheme": "http", "server.address": "127.0.0.1", "server.port": 8080,
    "url.path": "/work", "network.protocol.version": "1.1", "http.route": "/work",
}  # fmt: skip
Run = Callable[[Tracer], None]


def rows(quick: bool) -> list[dict]:
    """Return one row for each kind of span, policy and sampling decision."""
    tracers = {
        "sdk": TracerProvider(sampler=ParentBased(ALWAYS_ON), shutdown_on_exit=False).get_tracer("bench"),
        "default": through_slotel({}, ParentBased(ALWAYS_ON)),
        "tags": through_slotel({"SLOTEL_CONFIG": str(FILE)}, ParentBased(ALWAYS_ON)),
        "tags, sampled out": through_slotel({"SLOTEL_CONFIG": str(FILE)}, ParentBased(ALWAYS_OFF)),
    }
    found = []
    for what, run in SORTS.items():
        times = interleaved(tracers, run, 60 if quick else 300)
        found += [
            {
                "what": f"start + end through enforce + measure: {what}; policy: {name}",
                "baseline": f"SDK without a processor: {what}, sampled",
                "value": times[name],
                "baseline_value": times["sdk"],
                "unit": "us",
                "ratio": times[name] / times["sdk"],
                "target": TARGET,
            }
            for name in tracers
            if name != "sdk"
        ]
    return found


def through_slotel(environ: Mapping[str, str], sampler: Sampler) -> Tracer:
    """Return a tracer whose provider slotel has adopted; there is no sink."""
    service = read_configuration(environ).service
    store = Store()
    self_metrics = SelfMetrics(store)
    enforcer = Enforcer(service.tags, self_metrics.tag_violation)
    meter = BudgetWindows(store, service.slos, service_name="bench")
    measure = SpanMetrics(store, "bench", service.slos, enforcer, meter, self_metrics)
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    record_every_span(provider)
    install_pipeline(provider, SlotelSpanProcessor(OpenSpans(), measure, self_metrics), enforcer)
    return provider.get_tracer("bench")


def span(tracer: Tracer) -> None:
    """A root, nothing else."""
    for _ in range(BATCH):
        tracer.start_span("step").end()


def child(tracer: Tracer) -> None:
    """As instrumentations do it, under a parent of the same tracer; its one start and end are a 500th."""
    parent = tracer.start_span("parent", kind=SpanKind.SERVER)
    token = context.attach(trace.set_span_in_context(parent))
    for _ in range(BATCH):
        with tracer.start_as_current_span("step", attributes={"step": 1}):
            pass
    context.detach(token)
    parent.end()


def server(tracer: Tracer) -> None:
    """What a web framework's instrumentation makes of a request."""
    for _ in range(BATCH):
        made = tracer.start_span("GET /work", kind=SpanKind.SERVER, attributes=HTTP)
        made.set_attribute("http.response.status_code", 200)
        made.end()


def request(tracer: Tracer) -> None:
    """A server span with ten children, as often as makes as many spans."""
    for _ in range(BATCH // 11):
        with tracer.start_as_current_span("GET /work", kind=SpanKind.SERVER, attributes=HTTP) as root:
            for step in range(10):
                with tracer.start_as_current_span("step", attributes={"step": step}):
                    pass
            root.set_attribute("http.response.status_code", 200)


SORTS: Mapping[str, Run] = {
    "span": span, "current child": child, "server span, 7 attributes": server,
    "request with 10 children, a span": request,
}  # fmt: skip


def interleaved(tracers: Mapping[str, Tracer], run: Run, rounds: int) -> dict[str, float]:
    """Return for each tracer the median of its rounds, in us a span; each round starts with another one."""
    order = list(tracers)
    times: dict[str, list[float]] = {name: [] for name in order}
    for tracer in tracers.values():
        run(tracer)
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for name in order:
            began = thread_time_ns()
            run(tracers[name])
            times[name].append((thread_time_ns() - began) / 1000 / BATCH)
        order.append(order.pop(0))
        gc.collect(0)
    gc.enable()
    return {name: median(measured) for name, measured in times.items()}


if __name__ == "__main__":
    main(__doc__, rows)
