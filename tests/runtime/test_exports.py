"""`slotel doctor` says in ten lines what leaves, to where, and shows no secret."""

from slotel.config.service import read_service
from slotel.runtime.checks.exports import describe_exports

FILE = "tags: {redact: ['*.pin']}\nredaction: {sql: parameterise, argv: drop, values: [card, jwt]}\n"


def lines(environ, text=None):
    return describe_exports(read_service(environ, text).service, environ)


def test_ten_lines_name_each_way_out():
    environ = {
        "SENTRY_DSN": "https://s3cretkey@o1.sentry.test/42",
        "SENTRY_TRACES_SAMPLE_RATE": "0.25",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "prometheus,otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:s3cretkey@collector.test:4318",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0",
    }
    found = lines(environ, FILE)
    assert len(found) <= 10
    said = "\n".join(found)
    assert "s3cretkey" not in said
    for part in (
        "errors to o1.sentry.test project 42",
        "25% of requests",
        "traces by otlp to collector.test:4318",
        "OTLP logs: nothing",
        "on 0.0.0.0:9464",
        "every client that can reach the port can read /metrics",
        "*.pin",
        "2 of them; SQL literals: parameterise; command line: drop",
    ):
        assert part in said, part


def test_without_any_destination_it_says_so():
    said = "\n".join(lines({}))
    assert "to Sentry: nothing" in said
    assert "/metrics: not bound" in said
