"""Every standard variable keeps its meaning; the distribution only sets defaults."""

import json
import os
import subprocess
import sys

import pytest

from support.launch import LAUNCHER, OPENTELEMETRY_INSTRUMENT, Launched, clean_environ, wait_until

CALLS = "traces_span_metrics_calls_total"
SERVER = {"span_kind": "SPAN_KIND_SERVER"}

DECLARATIVE = """\
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: declared}
tracer_provider:
  sampler: {always_off: {}}
  processors:
    - simple: {exporter: {console: {}}}
"""


TOLD = "import json, os, sys; print(json.dumps([sys.argv, sys.flags.isolated, sys.path, dict(os.environ)]))"

UPSTREAMS = (
    sys.executable, "-c",
    ("import sys; sys.argv[0] = 'opentelemetry-instrument'; "
     "from opentelemetry.instrumentation.auto_instrumentation import run; run()"),
)  # fmt: skip
"""What `opentelemetry-instrument` does without slotel."""


@pytest.mark.parametrize("before", [{}, {"PYTHONPATH": "/nowhere"}, {"PYTHONPATH": "."}])
def test_the_command_and_the_short_way_of_the_tests_start_services_as_the_command_does_without_slotel(before):
    environ = clean_environ(OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", **before)
    told = []
    for way in (UPSTREAMS, (str(OPENTELEMETRY_INSTRUMENT),), (str(LAUNCHER),)):
        command = [*way, "python", "-c", TOLD, "a b", "$c", "--traces_exporter", "x"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=120)
        argv, isolated, path, variables = json.loads(done.stdout)
        for own in ("_", "PWD", "OLDPWD", "SLOTEL_RUN_DIR"):  # the shell's, and a directory of each process
            variables.pop(own, None)
        folders = [os.path.realpath(each) for each in (*path, *variables.pop("PYTHONPATH").split(os.pathsep))]
        told.append((argv, isolated, folders, variables, done.stderr))
    assert told[1] == told[0]
    assert told[2] == told[0]
    assert "slotel" in told[0][-1]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--version"], ["--help"], ["--pigeon", "true"], ["--", "true"], ["sh", "-c", "exit 3"]],
    ids=" ".join,
)  # fmt: skip
def test_whatever_the_command_is_given_it_answers_as_without_slotel(arguments):
    environ = clean_environ(OTEL_METRICS_EXPORTER="none")
    answers = []
    for way in (UPSTREAMS, (str(OPENTELEMETRY_INSTRUMENT),)):
        done = subprocess.run(
            [*way, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=120
        )
        answers.append((done.returncode, done.stdout, done.stderr.splitlines()[-1:]))
    assert answers[1] == answers[0]


@pytest.mark.parametrize("command", ["no-such-command", "/tmp"])
def test_a_command_that_is_none_is_named_where_without_slotel_a_traceback_stands(command):
    environ = clean_environ(OTEL_METRICS_EXPORTER="none")
    without, done = (
        subprocess.run([*way, command], env=environ, capture_output=True, text=True, check=False, timeout=120)
        for way in (UPSTREAMS, (str(OPENTELEMETRY_INSTRUMENT),))
    )
    assert "Traceback" in without.stderr
    assert (without.returncode, done.returncode, done.stdout) == (1, 127, "")
    assert "Traceback" not in done.stderr
    assert command in done.stderr.splitlines()[-1]


def served(env, *paths, until=""):
    """The log of a service that served the paths, when it says `until`; and its samples of the calls."""
    with Launched(sys.executable, "flask_app.py", env=env) as service:
        service.wait_ready()
        for path in paths:
            service.get(path)
        is_scraped = env.get("OTEL_METRICS_EXPORTER", "prometheus") == "prometheus"
        if is_scraped:
            wait_until(lambda: service.sample(CALLS, http_route="/ok") >= 1, "the request is counted")
        samples = service.samples(CALLS) if is_scraped else []
        wait_until(lambda: until in service.log, f"the log says {until}")
    return service.log, samples


def test_declarative_configuration_keeps_pipeline_sampler_and_metrics(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text(DECLARATIVE)
    log, samples = served({"OTEL_CONFIG_FILE": str(path), "OTEL_SERVICE_NAME": ""}, "/ok")
    assert {labels["service_name"] for labels, _ in samples} == {"declared"}
    assert '"http.route"' not in log, "always_off: nothing is shipped"
    assert "WARNING" not in log.replace("WARNING slotel: SENTRY_DSN", "")


def test_a_declarative_exporter_gets_enforced_spans_that_name_the_distribution(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text(DECLARATIVE.replace("always_off", "always_on"))
    log, _ = served(
        {"OTEL_CONFIG_FILE": str(path), "OTEL_SERVICE_NAME": ""}, "/ok", "/secret", until="user.password"
    )
    assert "[Filtered]" in log
    assert "hunter2" not in log
    assert '"telemetry.distro.name": "slotel"' in log


def test_a_declarative_configuration_without_traces_still_names_the_service(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text(DECLARATIVE.partition("tracer_provider")[0])
    log, samples = served({"OTEL_CONFIG_FILE": str(path), "OTEL_SERVICE_NAME": ""}, "/ok")
    assert {labels["service_name"] for labels, _ in samples} == {"declared"}
    assert "service=declared" in log


def test_a_declarative_configuration_that_is_disabled_switches_slotel_off(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text(f"{DECLARATIVE}disabled: ${{OFF:-true}}\n")
    done = subprocess.run(
        [OPENTELEMETRY_INSTRUMENT, sys.executable, "-c", "import slotel.runtime.state as s; print(s.current())"],
        env=clean_environ(OTEL_CONFIG_FILE=str(path)), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "None"
    assert (
        "ERROR slotel: slotel is off: OTEL_CONFIG_FILE says 'disabled: true': remove that line [SLO120]"
        in done.stderr
    )


def test_a_wrong_declarative_configuration_is_named_and_the_rest_works(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text("file_format: '1.0'\ntracer_provider: 7\n")
    log, samples = served({"OTEL_CONFIG_FILE": str(path)}, "/ok")
    assert f"ERROR slotel: OTEL_CONFIG_FILE={str(path)[:80]!r}: the SDK could not be set up" in log
    assert samples


def test_an_exporter_gets_enforced_spans():
    log, _ = served(
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "50"},
        "/ok",
        "/secret",
        until="user.password",
    )
    assert "user.password" in log
    assert "[Filtered]" in log
    assert "hunter2" not in log


def test_the_users_sampler_beats_sentrys_rate():
    env = {
        "OTEL_TRACES_SAMPLER": "always_off",
        "SENTRY_TRACES_SAMPLE_RATE": "1",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    log, _ = served(env, "/ok")
    assert '"http.route"' not in log
    assert "sampling=always_off" in log


def test_a_service_name_among_the_resource_attributes_is_kept():
    env = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=attributed,a=b", "OTEL_SERVICE_NAME": ""}
    _, samples = served(env, "/ok")
    assert {labels["service_name"] for labels, _ in samples} == {"attributed"}


def test_a_disabled_instrumentation_is_not_loaded_and_requests_are_counted_at_the_server():
    with Launched(
        sys.executable, "flask_app.py", env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask"}
    ) as service:
        service.wait_ready()
        service.get("/items/1")
        wait_until(
            lambda: service.sample(CALLS, span_name="load item") == 1, "the span made by hand is counted"
        )
        wait_until(
            lambda: service.sample(CALLS, **SERVER, span_name="GET") >= 1,
            "the server's layer counts the request",
        )
        requests = [labels for labels, _ in service.samples(CALLS) if SERVER.items() <= labels.items()]
        assert {labels.get("http_route", "") for labels in requests} <= {
            "",
            "/healthz",
        }  # which health checks ask


def test_without_a_metrics_exporter_there_is_no_endpoint():
    log, _ = served({"OTEL_METRICS_EXPORTER": "none"}, "/ok")
    assert "metrics=off" in log


def test_a_start_says_by_what_metrics_leave_where_there_is_no_endpoint():
    log, _ = served({"OTEL_METRICS_EXPORTER": "console"}, "/ok")
    assert "metrics=console" in log


def test_the_resource_says_which_distribution_it_is():
    log, _ = served(
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "50"}, "/ok", until='"GET /ok"'
    )
    start = log.rindex("{", 0, log.index('"name": "GET /ok"'))
    span, _ = json.JSONDecoder().raw_decode(log[start:])
    assert span["resource"]["attributes"]["telemetry.distro.name"] == "slotel"
