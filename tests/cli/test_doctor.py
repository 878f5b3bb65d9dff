"""`slotel doctor` finds what a start would stumble over."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slotel.cli.sink import SentrySink
from support.launch import clean_environ
from support.ports import free_port

SLOTEL = str(Path(sys.executable).with_name("slotel"))


def doctor(folder, **variables):
    port = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port()), "OTEL_PYTHON_DISTRO": "slotel"}
    done = subprocess.run(
        [SLOTEL, "doctor", "--json"],
        env=clean_environ(**{**port, **variables}),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.returncode, {
        (finding["subject"], finding["status"]): finding for finding in json.loads(done.stdout)
    }


def test_a_sound_set_up_is_found_sound(tmp_path):
    with SentrySink() as sink:
        code, findings = doctor(tmp_path, SENTRY_DSN=sink.dsn("7"))
    assert code == 0
    assert {subject for subject, status in findings if status == "ok"} >= {
        "configuration", "packages", "launcher", "exporters", "sentry", "metrics",
    }  # fmt: skip
    assert "project 7" in findings["sentry", "ok"]["text"]


@pytest.mark.parametrize(
    ("variables", "subject", "text", "fix"),
    [
        ({"ERROR_BUDGET_LIMIT": "5"}, "configuration", "ERROR_BUDGET_LIMIT='5'", "write '5%'"),
        ({"SENTRY_DSN": "nonsense"}, "sentry", "is no DSN", "https://PUBLIC_KEY@HOST/PROJECT_ID"),
        ({"SENTRY_DSN": "http://k@127.0.0.1:9/1"}, "sentry", "cannot be reached", "firewall"),
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "exporters", "pigeon", "known here are"),
        ({"OTEL_PYTHON_DISTRO": "other"}, "launcher", "another distribution", "set it to slotel"),
        (
            {"OTEL_EXPORTER_PROMETHEUS_PORT": "x"},
            "metrics",
            "OTEL_EXPORTER_PROMETHEUS_PORT='x'",
            "port number",
        ),
    ],
)
def test_what_would_not_work_fails_with_its_fix(tmp_path, variables, subject, text, fix):
    code, findings = doctor(tmp_path, **variables)
    assert code == 1
    assert text in findings[subject, "fail"]["text"]
    assert fix in findings[subject, "fail"]["fix"]


def test_what_has_no_effect_in_the_mode_is_a_warning(tmp_path):
    (tmp_path / "slotel.yaml").write_text("version: 1\nservice: shop\nsentry: {mode: otlp, keep: [errors]}\n")
    _, findings = doctor(tmp_path)
    assert "sentry.keep: without effect in sentry.mode otlp" in findings["configuration", "warn"]["text"]


def test_a_port_held_by_something_else_fails(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        port = str(other.server_address[1])
        code, findings = doctor(
            tmp_path, OTEL_EXPORTER_PROMETHEUS_PORT=port, OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1"
        )
        other.shutdown()
    assert code == 1 or ("metrics", "warn") in findings
    assert ("metrics", "ok") not in findings


def test_two_distributions_without_a_choice_are_a_warning(tmp_path):
    _, findings = doctor(tmp_path, OTEL_PYTHON_DISTRO="")
    assert "which wins is chance" in findings["launcher", "warn"]["text"]
