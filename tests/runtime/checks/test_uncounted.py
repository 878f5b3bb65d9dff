"""A port that is served while nothing is counted is told of, once; what is counted, or serves telemetry, is not."""

import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from slotel.config import names
from slotel.runtime.checks import uncounted
from slotel.runtime.checks.uncounted import (
    TICKS,
    Connection,
    UncountedTraffic,
    UncountedWork,
    counts_requests,
)
from slotel.runtime.metrics.store.store import Store
from support.launch import Launched, clean_environ, wait_until
from support.ports import free_port

OPEN = Connection(8000, is_listening=True, is_public=True)
LOCAL = Connection(40_000, is_listening=True)


def lines(caplog, connections, ticks=3, *, counts=False, is_known=False, others=()):
    traffic = UncountedTraffic(lambda _everywhere: counts, lambda: is_known, lambda: others)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncounted, "connections", lambda: connections)
        for _ in range(ticks):
            traffic.tick()
    return [(record.levelname, record.getMessage().partition(",")[0]) for record in caplog.records]


@pytest.mark.parametrize(
    ("connections", "known", "line"),
    [
        ([OPEN], False, ("WARNING", "port 8000 is open")),
        ([OPEN, Connection(8000, is_answered=True)], False, ("ERROR", "port 8000 answers connections")),
        ([OPEN, Connection(8000, is_answered=True)], True, ("ERROR", "port 8000 answers connections")),
        ([LOCAL, Connection(40_000, is_answered=True)], True, ("ERROR", "port 40000 answers connections")),
        ([OPEN], True, None),  # nobody has asked yet
        ([LOCAL], False, None),  # a debugger's
        ([Connection(5432, is_answered=True)], False, None),  # the other end: a client's
        ([], False, None),
    ],
)
def test_one_line_tells_of_it(caplog, connections, known, line):
    assert lines(caplog, connections, is_known=known) == ([line] if line else [])


def test_what_stands_out_once_may_just_have_begun(caplog):
    assert not lines(caplog, [OPEN], ticks=1)


def test_a_service_that_counts_is_not_told_of(caplog):
    assert not lines(caplog, [OPEN, Connection(8000, is_answered=True)], counts=True)


def test_a_process_that_has_counted_a_request_looks_at_no_socket_any_more(monkeypatch):
    looks = []
    monkeypatch.setattr(uncounted, "connections", lambda: looks.append(1) or (OPEN,))
    traffic = UncountedTraffic(lambda everywhere: not everywhere, lambda: False, tuple)
    traffic.tick()
    assert not looks


def test_ports_that_serve_telemetry_are_not_told_of(caplog):
    assert not lines(caplog, [OPEN, Connection(8000, is_answered=True)], others={8000})


def test_only_requests_count():
    store = Store()
    labels = ("service_name", "span_name", "span_kind")
    calls = store.histogram(names.SPAN_DURATION, help="", unit="seconds", label_names=labels, bounds=(1.0,))
    calls.observe(calls.slot(("shop", "SELECT", "SPAN_KIND_CLIENT")), 0.1)
    assert not counts_requests(store, everywhere=True)
    calls.observe(calls.slot(("shop", "GET /", "SPAN_KIND_SERVER")), 0.1)
    assert counts_requests(store, everywhere=False)


def test_an_answer_is_seen_and_a_probe_that_only_connects_is_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert Connection(port, is_listening=True) in set(uncounted.connections())
        for is_answered in (False, True):
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, _ = server.accept()
                with accepted:
                    if is_answered:
                        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                        accepted.recv(100)
                        accepted.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                        client.recv(100)
                    mine = {
                        each
                        for each in uncounted.connections()
                        if each.port == port and not each.is_listening
                    }
                    assert mine == {Connection(port, is_answered=is_answered)}


def test_looking_changes_no_descriptor():
    """A descriptor's copy shares its mode: a default time-out of the app's must not reach its other sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.setdefaulttimeout(5)
        try:
            assert server.getsockname()[1] in {each.port for each in uncounted.connections()}
        finally:
            socket.setdefaulttimeout(None)
        done = threading.Event()
        threading.Thread(target=lambda: (server.accept()[0].close(), done.set()), daemon=True).start()
        assert not done.wait(0.2)  # it blocks
        with socket.create_connection(server.getsockname()):
            assert done.wait(10)


SERVER = """
import http.server, prometheus_client
prometheus_client.start_http_server({telemetry}, "127.0.0.1")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""


def test_a_server_that_nothing_instruments_is_told_of_and_an_endpoint_of_prometheus_client_is_not():
    telemetry, port = sorted((free_port(), free_port()))  # of two, the line names the first
    program = SERVER.replace("{telemetry}", str(telemetry))
    with Launched("python", "-c", program, port=port) as service:
        service.wait_ready("/")
        with ExitStack() as clients:
            for each in (telemetry, port):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", each)))
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            wait_until(lambda: "[SLO136]" in service.log, "a line tells of it")
        assert (
            f"ERROR slotel: port {port} answers connections, but no request has been counted" in service.log
        )


@pytest.mark.parametrize(
    ("counts", "is_known", "serves", "ticks", "tells"),
    [
        (False, False, False, TICKS, 1),
        (False, False, False, TICKS - 1, 0),  # it may have just begun
        (False, False, False, 3 * TICKS, 1),
        (True, False, False, TICKS, 0),
        (False, True, False, TICKS, 0),  # no job came so far
        (False, False, True, TICKS, 0),  # the ports are looked at elsewhere
    ],
)
def test_a_worker_whose_jobs_nothing_counts_is_told_so_once(
    caplog, monkeypatch, counts, is_known, serves, ticks, tells
):
    monkeypatch.setattr(uncounted, "_is_watched", lambda: False)
    monkeypatch.setattr(uncounted, "_serves", lambda _others: serves)
    work = UncountedWork(lambda: counts, lambda: is_known, tuple)
    for _ in range(ticks):
        work.tick()
    assert len(caplog.records) == tells


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "is_told"),
    [
        ("import flask", True),
        ("import socket; one = socket.create_server(('127.0.0.1', 0))", False),
        ("import socket; one = socket.socket(socket.AF_UNIX); one.bind('one.sock'); one.listen()", False),
        ("import subprocess; one = subprocess.Popen(['sleep', '60'])", True),  # it does no work of Python's
        (
            "import subprocess, sys; one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
            False,
        ),
        ("from multiprocessing import resource_tracker; resource_tracker.ensure_running()", True),
        ("import celery.worker", False),
        ("from slotel import PerformanceTracker; PerformanceTracker().track_request(int)()", False),
    ],
)
def test_a_real_worker_is_told_if_nothing_else_explains_that_it_counts_nothing(tmp_path, code, is_told):
    program = (
        f"{code}\nimport slotel.runtime.checks.uncounted as looked\nfrom slotel.runtime.process.lifecycle import PROCESS\n"
        "for _ in range(looked.TICKS): PROCESS.tick()\n"
        "if 'one' in globals() and hasattr(one, 'kill'): one.kill()\n"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "-c", program],
        env=clean_environ(OTEL_SERVICE_NAME="worker"), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ("SLO138" in done.stderr) == is_told, done.stderr


WATCHED = """
import sys, unittest.mock
from slotel.runtime.checks.uncounted import _is_watched

class Test(unittest.TestCase):
    def test(self):
        print(_is_watched())

print(_is_watched())
unittest.main()
"""


def test_tests_of_unittest_are_no_service_but_a_service_may_import_its_mocks():
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
