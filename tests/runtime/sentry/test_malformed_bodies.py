"""A body that cannot be parsed is the handler's matter: sentry-sdk parses it first, and alone answers 500 for 400."""

import os
import subprocess

import pytest

from runtime.sentry.test_errors_like_plain import interpreter_with
from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by

pytestmark = pytest.mark.process


def answers(how, python):
    with SentrySink() as sink:
        env = clean_environ(SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none")
        env["PATH"] = os.pathsep.join([str(python.parent), env["PATH"]])
        command = [*(launched_by(how) if how else ()), python, "malformed.py"]
        done = subprocess.run(
            command, env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()


def test_litestar_answers_a_malformed_body_as_without_slotel():
    python = interpreter_with("litestar")
    if python is None:
        pytest.skip("litestar is not installed: make apps")
    alone = answers(None, python)
    assert len(alone) == 72
    assert answers("slotel", python) == alone
