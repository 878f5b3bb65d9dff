"""Whatever is wrong, the app serves, one clear line says what, and the rest keeps working."""

import socket
import sys

import pytest

from support.launch import Launched, wait_until

CALLS = "traces_span_metrics_calls_total"


def start(tmp_path, env, yaml=None):
    if yaml is not None:
        path = tmp_path / "slotel.yaml"
        path.write_text(yaml)
        env = {**env, "SLOTEL_CONFIG": str(path)}
    return Launched(sys.executable, "flask_app.py", env=env)


@pytest.mark.parametrize(
    ("env", "yaml", "line"),
    [
        ({}, None, "WARNING slotel: SENTRY_DSN is not set"),
        ({"SENTRY_DSN": "not a dsn"}, None, "ERROR slotel: SENTRY_DSN"),
        (
            {"ERROR_BUDGET_LIMIT": "5"},
            None,
            "ERROR slotel: ERROR_BUDGET_LIMIT='5': write '5%' for a 5 % error limit",
        ),
        ({"ERROR_BUDGET_LIMIT": "abc"}, None, "ERROR slotel: ERROR_BUDGET_LIMIT='abc': is not a ratio"),
        (
            {"ERROR_BUDGET_LIMIT": "0"},
            None,
            "ERROR slotel: ERROR_BUDGET_LIMIT='0': an error limit is above 0 and",
        ),
        (
            {"ERROR_BUDGET_LIMIT": "100%"},
            None,
            "ERROR slotel: ERROR_BUDGET_LIMIT='100%': an error limit is above 0 and",
        ),
        ({"SLOTEL_CONFIG": "/no/such.yaml"}, None, "SLOTEL_CONFIG='/no/such.yaml': there is no such file"),
        ({}, "tags:\n  colour: red", "slotel.yaml:2 tags.colour: unknown key, known are: metric_labels"),
        ({}, "slos:\n  - {name: a, objective: [1]}", "slotel.yaml:2 slos[0].objective"),
        ({}, "a: [1", "slotel.yaml:1: not valid YAML"),
        (
            {},
            "tags: {metric_labels: [http.route]}",
            "the metrics have the label http_route already: leave 'http.route' out",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "pigeon"},
            None,
            "OTEL_TRACES_EXPORTER='pigeon': there is no exporter 'pigeon'",
        ),
        ({"OTEL_METRICS_EXPORTER": "prometheus,pigeon"}, None, "there is no exporter 'pigeon'"),
        (
            {"OTEL_TRACES_SAMPLER": "pigeon"},
            None,
            "ERROR slotel: OTEL_TRACES_SAMPLER='pigeon': there is no such sampler",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "5%"},
            None,
            "ERROR slotel: OTEL_TRACES_SAMPLER_ARG='5%': write a ratio from 0 to 1",
        ),
        (
            {"SLOTEL_SENTRY_MODE": "otlp", "SENTRY_DSN": "http://k@127.0.0.1:9/1"},
            "sentry: {keep: [errors]}",
            "sentry.keep: without effect in sentry.mode otlp",
        ),
        (
            {"http_proxy": "quic://127.0.0.1:9", "no_proxy": "", "SENTRY_DSN": "http://k@sentry.invalid/1"},
            None,
            "ERROR slotel: nothing can be sent to Sentry: the proxy quic://127.0.0.1 has a scheme that is not supported: write",
        ),
        ({"OTEL_EXPORTER_PROMETHEUS_PORT": "ninety"}, None, "OTEL_EXPORTER_PROMETHEUS_PORT='ninety'"),
    ],
)
def test_the_app_serves_and_one_line_says_what_is_wrong(tmp_path, env, yaml, line):
    port = {} if "OTEL_EXPORTER_PROMETHEUS_PORT" not in env else {"OTEL_EXPORTER_PROMETHEUS_PORT": "9464"}
    with start(tmp_path, {**env, **port}, yaml) if not port else _wrong_port(env) as service:
        service.wait_ready()
        assert service.get("/ok") == (200, "ok")
        if not port:
            wait_until(lambda: service.sample(CALLS, http_route="/ok") == 1, "the request is counted")
    said = [found for found in service.log.splitlines() if line in found]
    assert len(said) == 1, service.log
    assert "Traceback" not in service.log


def _wrong_port(env):
    service = Launched.__new__(Launched)
    wrong = dict(env)
    value = wrong.pop("OTEL_EXPORTER_PROMETHEUS_PORT")
    Launched.__init__(
        service, "env", f"OTEL_EXPORTER_PROMETHEUS_PORT={value}", sys.executable, "flask_app.py", env=wrong
    )
    return service


def test_a_port_that_is_taken_is_named_with_its_variable_and_the_rest_works():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        env = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port), "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1"}
        with Launched(sys.executable, "flask_app.py", env=env) as service:
            service.wait_ready()
            assert service.get("/ok") == (200, "ok")
            wait_until(
                lambda: str(port) in service.log and "OTEL_EXPORTER_PROMETHEUS_PORT" in service.log,
                "the line",
            )
    assert "Traceback" not in service.log


def test_an_unreachable_sentry_costs_no_request():
    with Launched(sys.executable, "flask_app.py", env={"SENTRY_DSN": "http://key@127.0.0.1:9/1"}) as service:
        service.wait_ready()
        assert [service.get(path)[0] for path in ("/ok", "/error", "/ok")] == [200, 500, 200]
        wait_until(lambda: service.sample(CALLS, http_route="/ok") == 2, "the requests are counted")


def test_the_summary_names_what_is_on_and_no_secret():
    env = {"SENTRY_DSN": "http://0123456789abcdef@127.0.0.1:9/7", "SENTRY_TRACES_SAMPLE_RATE": "0.25"}
    with Launched(sys.executable, "flask_app.py", env=env) as service:
        service.wait_ready()
    summary = [line for line in service.log.splitlines() if line.startswith("INFO slotel:")]
    assert 1 <= len(summary) <= 3
    text = "\n".join(summary)
    for part in (
        "service=shop",
        "127.0.0.1:9",
        "project 7",
        "0.25",
        f":{service.metrics_port}/metrics",
        "availability 99%",
    ):
        assert part in text
    assert "0123456789abcdef" not in service.log


def test_a_disabled_sdk_is_off_and_the_app_serves():
    with Launched(sys.executable, "flask_app.py", env={"OTEL_SDK_DISABLED": "true"}) as service:
        service.wait_ready()
        assert service.get("/ok") == (200, "ok")
    assert "ERROR slotel: slotel is off: OTEL_SDK_DISABLED is true" in service.log
