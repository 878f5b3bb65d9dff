"""OTEL_PROPAGATORS as people write it: opentelemetry-instrument starts the app, and names what is wrong."""

import subprocess
import sys

import pytest

from slotel.launch import correct
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
