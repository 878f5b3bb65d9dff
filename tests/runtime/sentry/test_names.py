"""A `transaction_style` that the app has chosen names transactions and errors as under plain sentry-sdk."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk

from runtime.sentry.test_errors_like_plain import interpreter_with
from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 streams spans"),
]


def names(how, framework, style, **variables):
    python = interpreter_with(framework)
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1",
            **variables,
        )  # fmt: skip
        env["PATH"] = os.pathsep.join([str(python.parent), env["PATH"]])
        command = [*launched_by(how, framework), python, "names.py", framework, style]
        done = subprocess.run(
            command, env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return sorted(
            (payload.get("type", "event"), payload["transaction"], payload["transaction_info"]["source"])
            for kind in ("event", "transaction")
            for payload in sink.payloads(kind)
        )


def both(framework, style, **variables):
    if interpreter_with(framework) is None:
        pytest.skip(f"{framework} is not installed: make apps")
    with ThreadPoolExecutor() as pool:
        plain = pool.submit(names, "plain", framework, style)
        slotel = pool.submit(names, "slotel", framework, style, **variables)
        return plain.result(), slotel.result()


@pytest.mark.parametrize(
    ("framework", "style"),
    [
        ("flask", "url"), ("django", "function_name"), ("starlette", "endpoint"), ("fastapi", "endpoint"),
        ("quart", "url"), ("pyramid", "route_pattern"), ("falcon", "path"),
    ],
)  # fmt: skip
def test_a_style_that_the_app_has_chosen_names_its_transactions_and_errors(framework, style):
    plain, slotel = both(framework, style)
    assert len(plain) == 3
    assert slotel == plain


@pytest.mark.parametrize("framework", ["quart", "pyramid", "falcon", "fastapi"])
def test_native_names_are_those_of_the_default_style(framework, tmp_path):
    config = tmp_path / "slotel.yaml"
    config.write_text("version: 1\nsentry:\n  transaction_names: native\n")
    plain, slotel = both(framework, "", SLOTEL_CONFIG=str(config))
    assert slotel == plain


def test_the_default_style_leaves_opentelemetrys_names():
    plain, slotel = both("flask", "endpoint")
    assert {name for _, name, _ in plain} == {"good", "fails"}
    assert {name for _, name, _ in slotel} == {"GET /good/<number>", "GET /fails/<number>"}
