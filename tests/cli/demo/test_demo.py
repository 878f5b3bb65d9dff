"""`slotel demo` proves its own numbers."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from support.launch import clean_environ

SLOTEL = str(Path(sys.executable).with_name("slotel"))


def demo(*options, **variables):
    return subprocess.run(
        [SLOTEL, "demo", *options], env=clean_environ(**variables), capture_output=True, text=True
    )


def test_what_is_sent_is_counted_and_what_is_raised_is_an_issue():
    done = demo("--headless", "--seconds", "8", "--json", "--port", "0")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr.startswith("status page: http://127.0.0.1:")
    numbers = json.loads(done.stdout)
    assert numbers["exact"] is True
    assert numbers["requests_sent"] == numbers["requests_counted"] > 40
    assert numbers["good"] + numbers["bad"] + numbers["excluded"] == numbers["requests_sent"]
    assert numbers["errors_raised"] == numbers["sentry_issues"] > 0
    assert numbers["sentry_transactions"] >= numbers["errors_raised"]


def test_a_port_in_use_is_said_and_another_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = demo("--headless", "--seconds", "1", "--json", "--port", port)
    said = re.match(rf"port {port} is in use: the status page is on port (\d+)\n", done.stderr)
    assert done.returncode == 0 and said is not None, done.stderr
    assert f"status page: http://127.0.0.1:{said[1]}/" in done.stderr


def test_piped_it_is_lines_of_at_most_80_columns_without_control_characters():
    done = demo("--seconds", "2", "--port", "0", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "Open the status page in a browser: http://127.0.0.1:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", done.stdout)


def test_it_stays_until_ctrl_c_and_its_page_answers_meanwhile():
    # a job in the background, as tests often are, ignores Ctrl-C
    command = [
        "env",
        "--default-signal=INT",
        SLOTEL,
        "demo",
        "--headless",
        "--stay",
        "--seconds",
        "1",
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as staying:
        try:
            assert staying.stderr is not None
            lines = (staying.stderr.readline(), staying.stderr.readline())
            url = lines[0].split()[-1]
            assert lines[1] == f"The service goes on at {url} until you press Ctrl-C.\n"
            with urllib.request.urlopen(url) as answer:
                assert "shop" in answer.read().decode()
            staying.send_signal(signal.SIGINT)
            assert staying.wait(60) == 0
        finally:
            staying.kill()


def test_a_service_that_is_not_counted_fails_the_demo():
    """With the SDK disabled slotel is off, and the demo must say so."""
    done = demo("--headless", "--seconds", "2", "--json", "--port", "0", OTEL_SDK_DISABLED="true")
    assert done.returncode == 1
    assert "the service's metrics do not answer" in done.stderr and "off: OTEL_SDK_DISABLED" in done.stderr
