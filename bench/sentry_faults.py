"""The fault table of the Sentry path: what each fault of the server does to requests, memory and transactions.

One service process for each fault: a loop of requests (11 spans each) at a fixed pace, the fault in the middle third.
`python bench/sentry_faults.py [--seconds 9] [--rate 200] [--json]`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

FAULTS = ("none", "refuse", "hang", "slow", "429", "5xx", "reset", "tls")

SERVICE = """
import json, os, sys, time
sys.path.insert(0, {here!r})
import sentry_sdk
from opentelemetry.sdk.trace import TracerProvider
from micro_sentry import RESOURCE, Through, requests
from slotel.config.service import SentrySettings
from slotel.config.tags import TagPolicy
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.sentry.modes.select import sentry_sink
dsn, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
lost = {{}}
def dropped(signal, reason, count):
    lost[signal + "/" + reason] = lost.get(signal + "/" + reason, 0) + count
sentry_sdk.init(dsn=dsn, auto_enabling_integrations=False)
sink = sentry_sink(SentrySettings(dsn=dsn, traces_sample_rate=1.0), client=sentry_sdk.get_client(),
    enforcer=Enforcer(TagPolicy(), lambda *_: None), resource=RESOURCE, dropped=dropped)
provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
provider.add_span_processor(Through(sink))
tracer = provider.get_tracer("b")
def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
requests(tracer, 50, 10); sink.flush(2)
start, times, before = time.perf_counter(), [], memory()
peak = before
while (elapsed := time.perf_counter() - start) < seconds:
    if len(times) < elapsed * rate:
        begin = time.perf_counter()
        requests(tracer, 1, 10)
        times.append(time.perf_counter() - begin)
    else:
        time.sleep(0.0005)
    if len(times) % 100 == 0:
        peak = max(peak, memory())
flushed = time.perf_counter()
sink.shutdown()
flushed = time.perf_counter() - flushed
times.sort()
print(json.dumps({{"requests": len(times) + 50, "p50": times[len(times) // 2] * 1e3, "p99": times[int(len(times) * 0.99)] * 1e3,
    "before": before, "peak": peak, "lost": lost, "exit": flushed}}))
"""


def run(fault: str, rate: float, seconds: float) -> dict:
    """Run one service against a sink that has the fault in the middle third of the time."""
    from slotel.cli.sink.server import SentrySink

    tls = None
    if fault == "tls":
        tls = _untrusted()
    with SentrySink(tls=tls) as sink:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", SERVICE.format(here=here), sink.dsn(), str(rate), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with process:
            sink.wait_for(lambda s: s.stats().get("connections"), timeout=60)
            time.sleep(seconds / 3)
            if fault != "tls":
                sink.set_fault(fault)
            time.sleep(seconds / 3)
            if fault != "tls":
                sink.set_fault("none")
            made = json.loads(process.stdout.readline())
        arrived = sink.transactions
    return {"fault": fault, **made, "arrived": arrived}


def _untrusted():
    """A server side with a certificate that nobody trusts."""
    import ssl
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x",
             "-keyout", "key.pem", "-out", "cert.pem"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
        return context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=9.0)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [run(fault, options.rate, options.seconds) for fault in FAULTS]
    if options.json:
        print(json.dumps(rows))
        return
    print(
        "| fault | requests | p50 ms | p99 ms | arrived | counted as lost | RSS before → peak MB | exit s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        lost = ", ".join(f"{key} {count}" for key, count in row["lost"].items()) or "–"
        print(
            f"| {row['fault']} | {row['requests']} | {row['p50']:.2f} | {row['p99']:.2f} | {row['arrived']} | {lost} "
            f"| {row['before']:.0f} → {row['peak']:.0f} | {row['exit']:.1f} |"
        )


if __name__ == "__main__":
    main()
