"""Mode `otlp`: what reaches Sentry's OTLP endpoint, by which way, and what becomes of what does not."""

import subprocess
import sys
from contextlib import closing

import pytest

from slotel.cli.sink.server import SentrySink
from slotel.config.service import SentrySettings
from slotel.runtime.sentry.modes.otlp import OtlpSink
from support.launch import clean_environ
from support.sentry_route import Proxy, make_certificate, serving_tls
from support.sentry_tracing import RESOURCE, Losses, client, enforcer, provider

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")


def shipping(sentry, **options):
    losses, made = Losses(), client(sentry.dsn(7), **options)
    settings = SentrySettings(dsn=sentry.dsn(7), mode="otlp")
    sink = OtlpSink(settings, made, enforcer(), RESOURCE, losses)
    return sink, losses


def run(sink, count):
    tracer = provider(sink).get_tracer("t")
    for number in range(count):
        tracer.start_span(f"job {number}").end()


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


def test_headers_and_certificates_that_are_meant_for_the_collector_are_not_sent_to_sentry(
    sentry, monkeypatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2,authorization=Bearer hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-team=hunter2")
    sink, losses = shipping(sentry)
    run(sink, 3)
    sink.shutdown()
    (request,) = sentry.others
    assert request.headers["x-sentry-auth"].startswith("sentry sentry_key=")
    assert request.headers["content-type"] == "application/x-protobuf"
    assert "hunter2" not in str(request.headers)
    assert losses.counts == {}


def test_the_endpoint_is_trusted_by_ssl_cert_file_whatever_the_collectors_certificate_is(
    tmp_path, monkeypatch
):
    folder = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(other / "cert.pem"))
    with SentrySink(tls=serving_tls(folder)) as sentry:
        sink, losses = shipping(sentry)
        run(sink, 3)
        sink.shutdown()
    assert (len(sentry.others), losses.counts) == (1, {})


def test_the_proxy_of_the_sentry_client_is_used(sentry):
    proxy = Proxy()
    with closing(proxy):
        sink, losses = shipping(sentry, http_proxy=proxy.url)
        run(sink, 3)
        sink.shutdown()
    target = f"{sentry.url}/api/7/integration/otlp/v1/traces/"
    assert proxy.seen == [("POST", target, "Basic dXNlcjpwYSBzcw==")]
    assert losses.counts == {}


def test_every_span_that_does_not_arrive_is_counted_under_its_reason(sentry, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    sentry.set_fault("hang")
    sink, losses = shipping(sentry)
    run(sink, 30)
    assert sentry.wait_for(lambda s: s.stats().get("faulted"))
    sink.flush(10)
    sink.shutdown()
    run(sink, 4)
    assert losses.counts.pop(("spans", "shutdown")) == 4
    assert set(losses.counts) == {("spans", "queue_full"), ("spans", "export_error")}
    assert sum(losses.counts.values()) == 30


MODES = [
    ("otlp", {}, "without effect in sentry.mode otlp, where spans leave before it is known how their trace ends"),
    ("sdk", {}, "without effect in sentry.mode sdk, where spans leave before it is known how their trace ends"),
    ("otlp", {"opentelemetry.exporter.otlp.proto.http.trace_exporter"}, "run: pip install 'slotel[otlp]' (using transactions"),
    ("sdk", {"sentry_sdk.integrations.opentelemetry"}, "it needs sentry-sdk < 3 (using transactions"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "missing", "said"), MODES)
def test_a_start_says_what_a_mode_cannot_do_and_which_one_stands_in_for_it(tmp_path, mode, missing, said):
    file = tmp_path / "slotel.yaml"
    file.write_text("version: 1\nsentry: {keep: [errors, slow>1s]}\n")
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nfor name in {missing!r}: sys.modules[name] = None\n"
        "from slotel import ErrorTracker\nErrorTracker().init()\n"
    )
    with SentrySink() as sentry:
        env = clean_environ(
            SLOTEL_CONFIG=str(file), SLOTEL_SENTRY_MODE=mode, SENTRY_DSN=sentry.dsn(),
            OTEL_METRICS_EXPORTER="none", PYTHONPATH=str(tmp_path),
        )  # fmt: skip
        code = "from opentelemetry import trace\ntrace.get_tracer('t').start_span('job').end()"
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, timeout=170, check=True, capture_output=True, text=True
        )
    lines = [line for line in done.stderr.splitlines() if said in line]
    assert len(lines) == 1, done.stderr
    if missing:
        assert sentry.transactions == 1
    else:
        assert str(file) in lines[0]
        assert "SLOTEL_SENTRY_MODE" in lines[0]
