"""The messages of an ASGI app get no span of their own, and nothing else is lost by that."""

import json
import subprocess
import sys

import pytest

from support.launch import APPS, LAUNCHER, clean_environ
from support.ports import free_port


def recorded(framework, **env):
    done = subprocess.run(
        [str(LAUNCHER), sys.executable, str(APPS / "messages.py"), framework],
        env=clean_environ(
            OTEL_SERVICE_NAME="messages",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="asyncio,requests,urllib3",
            **env,
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_without_spans_of_messages_answers_server_spans_and_metrics_are_the_same(framework):
    lean, _ = recorded(framework)
    full, _ = recorded(framework, SLOTEL_ASGI_SPANS="send,receive")
    assert lean["rest"] == []
    assert {name.rsplit(" ", 1)[-1] for name in full["rest"]} == {"send", "receive"}
    assert lean["answers"] == full["answers"]
    assert lean["server"] == full["server"]
    names = [name.removeprefix("HTTP ") for name, *_ in lean["server"]]
    assert names == ["GET /ok", "GET /stream", "GET /error", "GET", "GET /chat"]
    assert lean["metrics"] == [line for line in full["metrics"] if "SPAN_KIND_INTERNAL" not in line]
    assert any(line.startswith("http_server_request_duration_seconds_count") for line in lean["metrics"])


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_one_kind_of_message_can_be_asked_for(framework):
    found, _ = recorded(framework, SLOTEL_ASGI_SPANS="receive")
    assert {name.rsplit(" ", 1)[-1] for name in found["rest"]} == {"receive"}


def test_a_wrong_kind_is_named_and_none_is_recorded():
    found, log = recorded("fastapi", SLOTEL_ASGI_SPANS="sent")
    line = "SLOTEL_ASGI_SPANS='sent': write 'send', 'receive', 'send,receive' or 'none' (using the default, none)"
    assert line in log
    assert found["rest"] == []
