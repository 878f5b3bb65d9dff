"""`slotel doctor` finds what a start would stumble over. Each broken set-up stands here with the code and words it must find."""

import errno
import http.server
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from slotel.cli.doctor import collector, examine, sentry
from slotel.cli.doctor.command import main, parser
from slotel.cli.doctor.trial import trial
from slotel.cli.sink.server import SentrySink
from slotel.config.service import SentrySettings
from slotel.runtime.checks import environment, instrumentation, packages
from slotel.runtime.checks.start import component_failed
from slotel.runtime.metrics.scrape.http import port as ports
from support.launch import APPS, clean_environ
from support.ports import free_port

CODES = YAML(typ="safe", pure=True).load(Path(__file__).parents[3] / "docs/reference/codes.yaml")
KEY = "0123456789abcdef0123456789abcdef"


class Answering(http.server.BaseHTTPRequestHandler):
    """A server that gives one answer to everything."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets
    status = 200
    more: dict[str, str] = {}  # noqa: RUF012 replaced, never changed
    body = b"{}"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        for name, value in {"Content-Length": str(len(self.body)), **self.more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET  # noqa: N815 the name that http.server asks for

    def log_message(self, *_):
        pass


@contextmanager
def answering(status=200, body=b"{}", **more):
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    kind = type("Kind", (Answering,), {"status": status, "more": headers, "body": body})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


def found(offline=True, **variables):
    """The findings for an environment: the sound one, changed by the variables; an empty value removes one."""
    sound = {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_PYTHON_DISTRO": "slotel",
        "OTEL_PYTHON_CONFIGURATOR": "slotel",
        "SENTRY_DSN": f"http://{KEY}@127.0.0.1:9/7",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
    }
    environ = {name: value for name, value in {**sound, **variables}.items() if value != ""}
    return list(examine.examine(environ, parser().parse_args(["--offline"] if offline else [])))


def of(code, findings):
    matching = [finding for finding in findings if finding.code == code]
    assert matching, f"no {code} in {[(finding.code, finding.text) for finding in findings]}"
    return matching[0]


def test_a_sound_set_up_is_found_sound():
    with SentrySink() as sink:
        findings = found(offline=False, SENTRY_DSN=sink.dsn("7"))
    assert not [finding for finding in findings if finding.status == "fail"]
    assert {finding.subject for finding in findings if finding.status == "ok"} >= {
        "configuration", "packages", "auto-instrumentation", "exporters", "sentry", "service", "metrics", "workers",
    }  # fmt: skip
    assert "project 7" in " ".join(finding.text for finding in findings)
    assert KEY not in str(findings)


ENVIRONMENTS = {
    "a limit without its sign": ({"ERROR_BUDGET_LIMIT": "5"}, "SLO101", "ERROR_BUDGET_LIMIT='5': write '5%'"),
    "a limit of zero": ({"ERROR_BUDGET_LIMIT": "0"}, "SLO101", "ERROR_BUDGET_LIMIT='0'"),
    "a window without a unit": ({"ERROR_BUDGET_WINDOW": "60"}, "SLO101", "ERROR_BUDGET_WINDOW='60'"),
    "a file that is not there": ({"SLOTEL_CONFIG": "/no/such.yaml"}, "SLO101", "there is no such file"),
    "an unknown mode": ({"SLOTEL_SENTRY_MODE": "fast"}, "SLO101", "write one of transactions"),
    "a sample rate above one": ({"SENTRY_TRACES_SAMPLE_RATE": "2"}, "SLO101", "between 0 and 1"),
    "a misspelled variable of slotel": ({"SLOTEL_CONFG": "x"}, "SLO104", "did you mean SLOTEL_CONFIG?"),
    "a variable of slotel that was never there": ({"SLOTEL_XYZZY": "x"}, "SLO104", "no such variable"),
    "a misspelled variable of Sentry": ({"SENTRY_TRACE_SAMPLE_RATE": "1"}, "SLO104", "SENTRY_TRACES_SAMPLE_RATE?"),
    "an abbreviated variable": ({"SENTRY_ENV": "prod"}, "SLO104", "did you mean SENTRY_ENVIRONMENT?"),
    "a misspelled variable of OpenTelemetry": ({"OTEL_SERVICENAME": "x"}, "SLO104", "did you mean OTEL_SERVICE_NAME?"),
    "a misspelled variable of its instrumentations": ({"OTEL_PYTHON_DISABLED_INSTRUMENTATION": "x"}, "SLO104", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS?"),
    "no service name": ({"OTEL_SERVICE_NAME": ""}, "SLO105", "unknown_service: set OTEL_SERVICE_NAME"),
    "another distribution selected": ({"OTEL_PYTHON_DISTRO": "other"}, "SLO112", "OTEL_PYTHON_DISTRO='other' selects another"),
    "another configurator selected": ({"OTEL_PYTHON_CONFIGURATOR": "x"}, "SLO112", "OTEL_PYTHON_CONFIGURATOR='x'"),
    "several distributions": ({"OTEL_PYTHON_DISTRO": ""}, "SLO111", "which one is loaded is undefined"),
    "OpenTelemetry disabled": ({"OTEL_SDK_DISABLED": "TRUE"}, "SLO120", "OTEL_SDK_DISABLED is true: unset it"),
    "an exporter that is none": ({"OTEL_TRACES_EXPORTER": "pigeon"}, "SLO121", "known here are"),
    "an exporter that is not installed": (
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "SLO121", "opentelemetry-exporter-otlp-proto-grpc",
    ),
    "a propagator that is none": ({"OTEL_PROPAGATORS": "pigeon"}, "SLO123", "there is no propagator 'pigeon'"),
    "a wrong propagator among others": ({"OTEL_PROPAGATORS": "tracecontext,b3x,"}, "SLO123", "there is no propagator 'b3x'"),
    "sentry-sdk's propagator without its processor": ({"OTEL_PROPAGATORS": "tracecontext, sentry"}, "SLO123", "in mode sdk only"),
    "a sampler that is none": ({"OTEL_TRACES_SAMPLER": "pigeon"}, "SLO122", "built in are"),
    "a ratio that is none": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "lots"}, "SLO122", "write a ratio from 0 to 1",
    ),
    "a sampler that samples nothing": ({"OTEL_TRACES_SAMPLER": "always_off"}, "SLO124", "the sampler samples no trace (always_off"),
    "a rate of zero": ({"SENTRY_TRACES_SAMPLE_RATE": "0"}, "SLO124", "the sampler samples no trace (parentbased_traceidratio 0): only traces that sentry.keep names are sent"),
    "a rate of zero in mode sdk": ({"SENTRY_TRACES_SAMPLE_RATE": "0", "SLOTEL_SENTRY_MODE": "sdk"}, "SLO124", "(parentbased_traceidratio 0): none is sent"),
    "Flask's instrumentation disabled": (
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask,redis"}, "SLO133", "disables flask: its requests are counted at the server",
    ),
    "every instrumentation disabled": ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "SLO133", "disables all of them"),
    "Django's settings not there": ({"DJANGO_SETTINGS_MODULE": "nowhere.settings"}, "SLO135", "cannot be imported from"),
    "no DSN": ({"SENTRY_DSN": ""}, "SLO140", "to turn it on, set SENTRY_DSN to https://<public key>@<host>"),
    "a DSN that is none": ({"SENTRY_DSN": "nonsense"}, "SLO141", "SENTRY_DSN is not a valid DSN"),
    "a DSN without a project": ({"SENTRY_DSN": f"https://{KEY}@sentry.example"}, "SLO141", "project's number"),
    "a DSN without a key": ({"SENTRY_DSN": "https://sentry.example/1"}, "SLO141", "public key"),
    "a DSN in quotes": ({"SENTRY_DSN": f'"https://{KEY}@sentry.example/1"'}, "SLO141", "written in quotes: remove them"),
    "a name in quotes": ({"OTEL_SERVICE_NAME": '"shop"'}, "SLO109", "OTEL_SERVICE_NAME is written in quotes, which are part of its value"),
    "an environment in single quotes": ({"SENTRY_ENVIRONMENT": "'production'"}, "SLO109", "remove them"),
    "a release that Sentry refuses": ({"SENTRY_RELEASE": "latest"}, "SLO139", "accepts no release called 'latest'"),
    "a DSN that nobody filled in": ({"SENTRY_DSN": "${SENTRY_DSN_SHOP}"}, "SLO141", "contains a variable that was not expanded"),
    "a resource attribute without a value": ({"OTEL_RESOURCE_ATTRIBUTES": "team:red,a=b"}, "SLO106", "'team' has no value"),
    "a number with a unit": ({"OTEL_BSP_SCHEDULE_DELAY": "5s"}, "SLO127", "OTEL_BSP_SCHEDULE_DELAY='5s' is not a number"),
    "a limit that is a word": ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "many"}, "SLO127", "write digits"),
    "a batch larger than its queue": (
        {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512"}, "SLO127", "more than the queue holds (100)",
    ),
    "an endpoint without a scheme": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "SLO128", "write http://collector:4318",
    ),
    "an endpoint on gRPC's port": (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317/v1/traces"}, "SLO128", "take http/protobuf on port 4318",
    ),
    "a declarative configuration that is not there": ({"OTEL_CONFIG_FILE": "/no/otel.yaml"}, "SLO129", "there is no such file"),
    "an authority that is not there": ({"SSL_CERT_FILE": "/no/ca.pem"}, "SLO149", "no certificate is trusted"),
    "the app on the metrics port": (
        {"PORT": "9464", "OTEL_EXPORTER_PROMETHEUS_PORT": "9464"}, "SLO151", "PORT=9464 is also the metrics port",
    ),
    "another environment than the active one": ({"VIRTUAL_ENV": "/no/venv"}, "SLO115", "python -m slotel doctor"),
    "another agent": ({"PYTHONPATH": "/x/ddtrace/bootstrap"}, "SLO116", "start the service without ddtrace"),
    "a port that is none": ({"OTEL_EXPORTER_PROMETHEUS_PORT": "x"}, "SLO150", "write a port number"),
    "an address of another machine": ({"OTEL_EXPORTER_PROMETHEUS_HOST": "192.0.2.1"}, "SLO153", "to an address of this machine"),
    "no metrics endpoint": ({"OTEL_METRICS_EXPORTER": "none"}, "SLO157", "there is no /metrics"),
    "loopback in a container": (
        {"OTEL_EXPORTER_PROMETHEUS_HOST": "", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "SLO154", "set OTEL_EXPORTER_PROMETHEUS_HOST=0.0.0.0",
    ),
    "a list of addresses that ends with a comma": ({"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "healthz,"}, "SLO137", "matches every address"),
    "an alert that cannot fire": ({"ERROR_BUDGET_LIMIT": "10%"}, "SLO160", "never fire"),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "code", "words"), ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_a_broken_environment_is_found(variables, code, words):
    finding = of(code, found(**variables))
    assert words in str(finding)


def test_two_values_for_one_objective_are_found(tmp_path):
    (tmp_path / "slotel.yaml").write_text("version: 1\nslos:\n  - {name: availability, objective: 99.9%}\n")
    finding = of("SLO103", found(ERROR_BUDGET_LIMIT="5%"))
    assert "ERROR_BUDGET_LIMIT=5% (an objective of 95%) overrides slotel.yaml (99.9%)" in finding.text
    assert not [each for each in found(ERROR_BUDGET_LIMIT="0.1%") if each.code == "SLO103"]


def test_two_names_of_one_service_are_found(tmp_path):
    """Rules select by the name: made from the file alone, they would count nothing of the service."""
    (tmp_path / "slotel.yaml").write_text("version: 1\nservice: checkout\n")
    finding = of("SLO103", found(OTEL_SERVICE_NAME="shop"))
    assert "'shop' here and 'checkout' in slotel.yaml" in finding.text
    assert not [each for each in found(OTEL_SERVICE_NAME="checkout") if each.code == "SLO103"]


@pytest.mark.parametrize("name", ["slotel.yml", ".slotel.yaml"])
def test_a_file_of_another_name_is_found(tmp_path, name):
    (tmp_path / name).write_text("version: 1\n")
    assert f"SLOTEL_CONFIG={name}" in str(of("SLO107", found()))
    assert not [each for each in found(SLOTEL_CONFIG=name) if each.code == "SLO107"]


def test_a_key_without_effect_is_found(tmp_path):
    (tmp_path / "slotel.yaml").write_text("version: 1\nservice: shop\nsentry: {mode: otlp, keep: [errors]}\n")
    assert "without effect in sentry.mode otlp" in of("SLO102", found()).text


# Packages and instrumentations that are not as they should be: asked of the checks, with other packages.


def test_an_old_sentry_sdk_is_found_and_is_the_reason_that_a_start_gives(monkeypatch):
    real = packages.version
    monkeypatch.setattr(packages, "version", lambda name: "1.40.0" if name == "sentry-sdk" else real(name))
    wanted = "sentry-sdk 1.40.0 is installed, slotel needs"
    assert wanted in of("SLO110", found()).text
    said = component_failed("sentry", ImportError("cannot import name 'x'"))
    assert said.code == "SLO110"
    assert str(said).startswith(f"sentry failed to start and is disabled: {wanted}")


def test_a_framework_without_its_instrumentation_is_found(monkeypatch):
    real = instrumentation.version
    monkeypatch.setattr(
        instrumentation,
        "version",
        lambda name: None if name == "opentelemetry-instrumentation-flask" else real(name),
    )
    finding = of("SLO130", found())
    assert str(finding) == (
        "no instrumentation installed for flask: its requests are counted at the server, without routes: "
        "run: slotel bootstrap [SLO130]"
    )


def test_a_library_without_its_instrumentation_is_found(monkeypatch):
    real = instrumentation.version
    monkeypatch.setattr(instrumentation, "version", lambda name: "5.0" if name == "redis" else real(name))
    assert "redis" in of("SLO131", found()).text


def test_a_library_out_of_its_instrumentations_range_is_found(monkeypatch):
    from opentelemetry.instrumentation import dependencies

    class Conflict:
        found, required = "flask 0.9", "flask >= 1.0"

    monkeypatch.setattr(
        dependencies, "get_dist_dependency_conflicts",
        lambda dist: Conflict if dist.name == "opentelemetry-instrumentation-flask" else None,
    )  # fmt: skip
    assert (
        "flask 0.9 is installed, the instrumentation flask supports flask >= 1.0"
        in of("SLO132", found()).text
    )


def test_a_missing_opentelemetry_instrument_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(packages.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "opentelemetry-instrument is not on PATH" in of("SLO113", found()).text


def test_an_opentelemetry_instrument_of_another_environment_is_found(monkeypatch, tmp_path):
    other = tmp_path / "bin/opentelemetry-instrument"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert f"{other}, of another environment" in of("SLO113", found()).text


def test_an_environment_without_slotel_is_found(monkeypatch):
    monkeypatch.setattr(packages, "entry_points", lambda **_: [])
    assert "pip install slotel" in str(of("SLO114", found()))


# The machine: port and runtime directory.


def test_a_port_that_another_program_has_is_found_with_its_owner():
    with answering() as port:
        finding = of("SLO151", found(OTEL_EXPORTER_PROMETHEUS_PORT=str(port)))
    assert "another process has port" in finding.text
    assert "pid " in finding.text
    assert "to a free port" in finding.fix


def test_a_port_that_another_service_has_is_found_by_its_name():
    body = b'target_info{service_name="cart"} 1\nslotel_build_info{version="1"} 1\n'
    with answering(body=body) as port:
        assert "the service 'cart'" in of("SLO151", found(OTEL_EXPORTER_PROMETHEUS_PORT=str(port))).text


def test_a_port_that_this_service_has_already_is_no_fault():
    body = b'target_info{service_name="shop"} 1\nslotel_build_info{version="1"} 1\n'
    with answering(body=body) as port:
        findings = found(OTEL_EXPORTER_PROMETHEUS_PORT=str(port))
    assert any("this service runs already" in finding.text for finding in findings)


def test_a_port_that_needs_other_rights_is_explained():
    finding = ports.explain(PermissionError(errno.EACCES, "Permission denied"), "localhost", 80)
    assert finding.code == "SLO152"


def test_no_place_for_shared_counts_is_found(monkeypatch):
    monkeypatch.setattr(environment, "candidate_directories", lambda _environ: iter(()))
    assert "tmpfs" in of("SLO155", found()).fix


def test_a_full_place_for_shared_counts_is_found(monkeypatch):
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000_000}))
    assert "--shm-size" in of("SLO156", found()).fix


# Sentry and the collector, as they answer.


def test_a_sentry_that_is_not_there_is_found():
    port = free_port()
    finding = of("SLO142", found(offline=False, SENTRY_DSN=f"http://{KEY}@127.0.0.1:{port}/1"))
    assert f"127.0.0.1:{port} cannot be reached" in finding.text


def test_a_sentry_that_is_not_there_is_named_once_and_nothing_is_sent_to_it():
    environ = {"SENTRY_DSN": f"http://{KEY}@127.0.0.1:{free_port()}/1", "OTEL_SERVICE_NAME": "shop"}
    findings = examine.examine(environ, parser().parse_args(["--send"]))
    assert [each.code for each in findings if each.status == "fail" and each.subject == "sentry"] == [
        "SLO142"
    ]


def test_a_host_that_does_not_resolve_is_found():
    finding = of("SLO142", list(sentry.reach(f"http://{KEY}@no-such-host.invalid/1")))
    assert "no-such-host.invalid" in finding.text


def test_a_port_that_speaks_no_tls_is_found():
    with answering() as port:
        finding = of("SLO142", list(sentry.reach(f"https://{KEY}@127.0.0.1:{port}/1")))
    assert "SSL_CERT_FILE" in finding.fix


def test_a_sentry_at_an_ipv6_address_is_reached():
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        listener.listen()
        threading.Thread(target=_answer_once, args=(listener,), daemon=True).start()
        [finding] = sentry.reach(f"http://{KEY}@[::1]:{listener.getsockname()[1]}/1")
    assert finding.status == "ok"


def _answer_once(listener):
    connection, _ = listener.accept()
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    connection.close()


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "SLO143"), (403, "SLO143"), (404, "SLO143"), (413, "SLO144"), (429, "SLO145"), (502, "SLO146")],
)
def test_what_sentry_refuses_is_found(status, code):
    with answering(status) as port:
        settings = SentrySettings(dsn=f"http://{KEY}@127.0.0.1:{port}/1")
        findings = list(sentry.send(settings))
    assert [finding.code for finding in findings] == [code, code]
    assert f"refused with status {status}" in findings[0].text


def test_a_rate_limit_in_an_answer_that_is_well_is_found():
    with answering(X_Sentry_Rate_Limits="60:transaction:key") as port:
        findings = list(sentry.send(SentrySettings(dsn=f"http://{KEY}@127.0.0.1:{port}/1")))
    assert "60:transaction:key" in of("SLO145", findings).text


def test_a_wrong_clock_is_found():
    with answering() as port:
        Answering.date_time_string = lambda _self, timestamp=None: time.strftime(
            "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 3600)
        )
        try:
            findings = list(sentry.reach(f"http://{KEY}@127.0.0.1:{port}/1"))
        finally:
            del Answering.date_time_string
    assert " s ahead of 127"[:12] in of("SLO148", findings).text


def test_a_dead_proxy_is_found(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{free_port()}")
    finding = of("SLO147", list(sentry.reach(f"http://{KEY}@sentry.invalid/1")))
    assert "through the proxy http://127.0.0.1" in finding.text
    assert "secret" not in str(finding)


def test_sentry_is_asked_by_the_way_that_a_service_takes_which_knows_no_all_proxy(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    with answering() as port:
        dsn = f"http://{KEY}@127.0.0.1:{port}/1"
        findings = [*sentry.reach(dsn), *sentry.send(SentrySettings(dsn=dsn))]
    assert {finding.status for finding in findings} == {"ok"}, findings


def test_a_socks_proxy_without_its_package_is_found(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setattr("slotel.runtime.sentry.transport.endpoint.find_spec", lambda _: None)
    assert "slotel[socks]" in of("SLO147", list(sentry.reach(f"http://{KEY}@sentry.invalid/1"))).fix


OTLP = {"OTEL_TRACES_EXPORTER": "otlp"}


def test_a_collector_that_is_not_there_is_found():
    endpoint = f"http://127.0.0.1:{free_port()}"
    finding = of("SLO126", list(collector.reach({**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})))
    assert f"{endpoint}/v1/traces accepts no data" in finding.text


def test_a_collector_that_answers_otherwise_is_found():
    with answering(404) as port:
        endpoint = f"http://127.0.0.1:{port}"
        finding = of("SLO126", list(collector.reach({**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})))
    assert "it answers 404" in finding.text


def test_a_collector_is_asked_with_the_headers_of_the_exporter():
    class Locked(Answering):
        def do_POST(self):
            self.status = 200 if self.headers["authorization"] == "Bearer k" else 401
            self.do_GET()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environ = {**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}"}
        assert "OTEL_EXPORTER_OTLP_HEADERS" in of("SLO126", list(collector.reach(environ))).fix
        [finding] = collector.reach({**environ, "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20k"})
        server.shutdown()
    assert finding.status == "ok"


@pytest.mark.parametrize("scheme", ["unix://", "unix:"])
def test_a_collector_at_a_socket_of_this_machine_is_reached(tmp_path, scheme):
    environ = {
        **OTLP, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}{tmp_path}/otel.sock",
    }  # fmt: skip
    assert "No such file" in of("SLO126", list(collector.reach(environ))).text
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/otel.sock")
        listener.listen()

        def answer():
            with listener.accept()[0] as connection:
                connection.sendall(bytes(3) + b"\x04" + bytes(5))
                connection.recv(100)

        threading.Thread(target=answer, daemon=True).start()
        [finding] = collector.reach(environ)
    assert finding.status == "ok", finding


def test_grpc_to_a_port_of_http_is_found():
    with answering() as port:
        environ = {
            **OTLP,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }
        assert "http/protobuf" in of("SLO126", list(collector.reach(environ))).fix


def test_a_collector_that_takes_traces_is_found_well():
    with answering() as port:
        [finding] = collector.reach({**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"})
    assert finding.status == "ok"


# The command.


def test_send_delivers_an_event_and_a_transaction_and_shows_their_ids(capsys, monkeypatch):
    with SentrySink() as sink:
        monkeypatch.setenv("SENTRY_DSN", sink.dsn("7"))
        main(["--send"])
        assert (sink.events, sink.transactions) == (1, 1)
        said = capsys.readouterr().out
        for kind in ("event", "transaction"):
            assert f"{kind} sent: {sink.payloads(kind)[0]['event_id']}" in said


@pytest.mark.parametrize("dsn", ["", "not a dsn"])
def test_send_without_a_destination_fails_and_says_that_nothing_was_sent(capsys, monkeypatch, dsn):
    """It ended with 0, and only a line about the start told of the missing DSN."""
    monkeypatch.setenv("SENTRY_DSN", dsn)
    assert main(["--send"]) == 1
    assert "nothing was sent: there is no valid DSN" in capsys.readouterr().out


def test_exit_codes(monkeypatch):
    for name, value in {
        "OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_PROMETHEUS_PORT": "0", "SENTRY_DSN": "",
        "OTEL_PYTHON_DISTRO": "slotel", "OTEL_PYTHON_CONFIGURATOR": "slotel",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert main(["--offline"]) == 0
    assert main(["--offline", "--strict"]) == 1  # no DSN is worth a look
    monkeypatch.setenv("ERROR_BUDGET_LIMIT", "5")
    assert main(["--offline", "--json"]) == 1
    with pytest.raises(SystemExit) as ended:
        main(["--get", "/"])
    assert ended.value.code == 2


@pytest.mark.parametrize("given", [["slotel.yaml"], ["gunicorn", "app:app"]])
def test_a_file_or_a_command_that_stands_alone_is_told_where_it_goes(given, capsys):
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    assert f"'{given[0]}': write a file behind --config, a command behind --" in capsys.readouterr().err


def test_a_command_is_tried_and_what_it_counted_and_sent_is_reported():
    environ = clean_environ(OTEL_SERVICE_NAME="shop", OTEL_PYTHON_DISTRO="slotel", PORT=str(free_port()))
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "doctor", "--offline", "--json", "--get", "/ok", "--get", "/error",
         "--", sys.executable, str(APPS / "flask_app.py")],
        env=environ, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    texts = [finding["text"] for finding in json.loads(done.stdout) if finding["subject"] == "trial"]
    assert texts[:3] == ["GET /ok: 200", "GET /error: 500", "2 requests sent, counted: 1 bad, 1 good"]
    assert "1 error event" in texts[3]


def test_a_command_with_opentelemetry_instrument_and_a_protected_endpoint_is_tried(tmp_path):
    """Both are what a person pastes from a deployment."""
    (tmp_path / "token").write_text("t0ken")
    environ = clean_environ(
        OTEL_PYTHON_DISTRO="slotel", PORT=str(free_port()), SLOTEL_METRICS_TOKEN_FILE=str(tmp_path / "token")
    )
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "doctor", "--offline", "--json", "--get", "/ok",
         "--", "opentelemetry-instrument", sys.executable, str(APPS / "flask_app.py")],
        env=environ, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    found = json.loads(done.stdout)
    texts = [finding["text"] for finding in found if finding["subject"] == "trial"]
    assert texts[:2] == ["GET /ok: 200", "1 request sent, counted: 1 good"]
    of_the_name = [finding["subject"] for finding in found if finding["code"] == "SLO105"]
    assert of_the_name == ["service"], "not by the start again"


def test_a_provider_of_the_apps_own_is_found():
    code = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
        "trace.set_tracer_provider(TracerProvider())"
    )
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "doctor", "--offline", "--", sys.executable, "-c", code],
        env=clean_environ(OTEL_SERVICE_NAME="shop", OTEL_PYTHON_DISTRO="slotel"),
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert "sets a tracer provider of its own" in done.stdout
    assert "[SLO174]" in done.stdout


def test_headers_go_to_prometheus(capsys, tmp_path, monkeypatch):
    seen = []

    class Asked(Answering):
        body = b'{"status": "success", "data": {"resultType": "vector", "result": []}}'

        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            super().do_GET()

        do_POST = do_GET  # noqa: N815 the name that http.server asks for

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        main(["--prometheus", url, "--header", "Authorization: Bearer t0ken"])
        server.shutdown()
    assert set(seen) == {"Bearer t0ken"}
    assert "t0ken" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--header", "A: b"])


def test_a_command_that_ends_is_reported_with_its_output():
    environ = clean_environ(OTEL_SERVICE_NAME="shop")
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "doctor", "--offline", "--", sys.executable, "-c", "print('alas')"],
        env=environ, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 1
    assert "[SLO172]" in done.stdout
    assert "alas" in done.stdout


def test_a_command_that_does_not_exist_is_named_without_a_traceback():
    environ = clean_environ(OTEL_SERVICE_NAME="shop")
    [finding] = trial(["no-such-command", "app:app"], (), None, environ, own_sentry=True)
    assert finding.text == "no-such-command: command not found"
    assert finding.code == "SLO172"


def test_what_is_used_instead_is_printed_without_parentheses(capsys, monkeypatch):
    monkeypatch.setenv("ERROR_BUDGET_LIMIT", "5")
    main(["--offline"])
    assert "\n       → using the default, 1%\n" in capsys.readouterr().out


def test_the_share_of_transactions_is_named_whoever_decides_it():
    for variables, share in (
        ({}, "100% of requests"),
        ({"SENTRY_TRACES_SAMPLE_RATE": "0.001"}, "0.1% of requests"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "the requests that always_off samples"),
    ):
        texts = [each.text for each in found(**variables) if each.subject == "exports"]
        assert any(f"mode transactions: {share}, and those of sentry.keep" in text for text in texts), texts


# What holds for all of them.


def test_what_a_start_says_doctor_says():
    """The start's own function, over every broken environment and many that are broken in three ways: doctor finds all of it."""
    from slotel.config.load import read_configuration
    from slotel.runtime.checks.start import before_start
    from slotel.runtime.setup.defaults import set_defaults

    broken = [variables for variables, _, _ in ENVIRONMENTS.values()]
    chosen = random.Random(19)
    several = [
        {name: value for each in chosen.sample(broken, 3) for name, value in each.items()}
        for _ in range(40 if os.environ.get("LONG") == "1" else 12)
    ]
    for variables in (*broken, *several):
        environ = {"OTEL_SERVICE_NAME": "shop", **{name: value for name, value in variables.items() if value}}
        if variables.get("OTEL_SERVICE_NAME") == "":
            del environ["OTEL_SERVICE_NAME"]
        set_defaults(environ)
        said = {
            str(finding)
            for finding in before_start(read_configuration(environ), environ)
            if finding.status != "ok"
        }
        doctors = {str(finding) for finding in examine.examine(environ, parser().parse_args(["--offline"]))}
        assert said <= doctors


def test_every_code_that_is_used_has_a_page_and_every_page_a_use():
    source = Path(__file__).parents[3] / "src/slotel"
    used = set()
    for path in source.rglob("*.py"):
        used |= set(re.findall(r"SLO1\d\d", path.read_text()))
    assert used == CODES.keys()


def test_a_check_that_fails_is_itself_a_finding(monkeypatch):
    monkeypatch.setattr(environment, "disabled", lambda _: 1 / 0)
    assert "ZeroDivisionError" in of("SLO170", found()).text
