"""OTEL_PROPAGATORS and OTEL_PYTHON_… as people write them: opentelemetry-instrument starts the app, and names what is wrong."""

import subprocess
import sys

import pytest

from slotel.launch import COMPONENTS, correct
from support.launch import OPENTELEMETRY_INSTRUMENT, clean_environ

RUNS = [sys.executable, "-c", "print('serves')"]


@pytest.mark.parametrize(
    "named", ["tracecontext,", ",", " ", "pigeon", "tracecontext, pigeon ,baggage", "none", "none,"]
)
def test_no_name_ends_opentelemetry_instrument(named):
    env = clean_environ(OTEL_PROPAGATORS=named, OTEL_SERVICE_NAME="shop", OTEL_METRICS_EXPORTER="none")
    done = subprocess.run(
        [OPENTELEMETRY_INSTRUMENT, *RUNS], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "serves"), done.stderr
    said = [line for line in done.stderr.splitlines() if "SLO123" in line]
    assert len(said) == ("pigeon" in named), done.stderr
    assert all("there is no propagator 'pigeon'" in line for line in said)


APP = "from opentelemetry import metrics, trace; print(trace.get_tracer('x').start_span('a').is_recording(), metrics.get_meter('x') and 1)"


@pytest.mark.parametrize(
    "command", [[OPENTELEMETRY_INSTRUMENT, sys.executable], [sys.executable]], ids=["launcher", "in code"]
)
@pytest.mark.parametrize("variable", COMPONENTS)
def test_no_name_of_a_part_of_opentelemetry_ends_the_app_or_its_telemetry(variable, command):
    env = clean_environ(**{variable: "pigeon"}, OTEL_SERVICE_NAME="shop", OTEL_METRICS_EXPORTER="none")
    start = (
        ""
        if command[0] == OPENTELEMETRY_INSTRUMENT
        else "import os; from slotel.runtime.bootstrap import start; start(os.environ); "
    )
    done = subprocess.run(
        [*command, "-c", start + APP], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True 1"), done.stderr
    said = [line for line in done.stderr.splitlines() if "SLO119" in line]
    assert len(said) == 1, done.stderr
    assert f"{variable}='pigeon'" in said[0]
    if start == "":
        assert "Traceback" not in done.stderr


@pytest.mark.unit
def test_other_processes_are_left_alone():
    environ = {"OTEL_PROPAGATORS": "tracecontext,"}
    correct(environ, ["python", "manage.py", "migrate"])
    assert environ == {"OTEL_PROPAGATORS": "tracecontext,"}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("named", "left"),
    [
        ("tracecontext,", "tracecontext"),
        ("pigeon,baggage", "baggage"),
        ("none,", "none"),
        ("tracecontext,baggage", "tracecontext,baggage"),
    ],
)
def test_what_is_right_stays_in_order(named, left):
    environ = {"OTEL_PROPAGATORS": named}
    correct(environ, ["/usr/bin/python", "/app/bin/opentelemetry-instrument", "gunicorn"])
    assert environ == {"OTEL_PROPAGATORS": left}


@pytest.mark.unit
def test_the_default_takes_the_place_of_nothing_but_wrong_names(capsys):
    environ = {"OTEL_PROPAGATORS": "pigeon"}
    correct(environ, ["python", "opentelemetry-instrument"])
    assert environ == {}
    assert (
        "ERROR slotel: OTEL_PROPAGATORS='pigeon': there is no propagator 'pigeon'" in capsys.readouterr().err
    )
