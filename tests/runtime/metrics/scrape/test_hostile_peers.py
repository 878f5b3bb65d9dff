"""The endpoint under peers that flood, stall and lie, and under an app that closes its descriptors."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.http import server as servers
from slotel.runtime.metrics.scrape.http.port import take
from slotel.runtime.metrics.scrape.http.server import DescriptorsClosedError, Server
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.descriptors import Waker
from support.launch import wait_until


def test_a_stop_that_closes_the_listeners_while_they_are_looked_at_is_no_fault(monkeypatch):
    """A thread that does not stop within a second looks on: an address of IPv6 makes two listeners."""
    server, waker = Server(lambda _: None), Waker()
    server.listen([*take("127.0.0.1", 0), *take("127.0.0.1", 0)])
    found = list(server.listeners.values())

    def stops(_descriptor):
        if server.listeners:
            server.close()
        return found.pop(0)

    monkeypatch.setattr(servers, "identity_of", stops)
    server._check_descriptors(waker)
    assert not server.listeners
    waker.close()


def big(series):
    rows = {(str(number) + "x" * 200,): (1.0,) for number in range(series)}
    return Family("big", "counter", "", "", ("a",), (), rows, {}, 0.0)


@pytest.fixture
def endpoint():
    made = []

    def make(*families, **options):
        made.append(Endpoint("127.0.0.1", 0, [lambda: list(families)], **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def ask(endpoint, path="/metrics"):
    peer = socket.create_connection(("127.0.0.1", endpoint.port), timeout=30)
    peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return peer


def read_all(peer):
    data = b""
    while piece := peer.recv(65536):
        data += piece
    return data


def test_a_flood_of_connections_that_close_at_once_cuts_no_answer(endpoint):
    serving = endpoint(big(20_000))
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            peers = []
            try:
                peers += [socket.create_connection(("127.0.0.1", serving.port), timeout=5) for _ in range(60)]
            except OSError:
                continue
            finally:
                for peer in peers:
                    peer.close()

    floods = [threading.Thread(target=flood) for _ in range(3)]
    for each in floods:
        each.start()
    try:
        first = b""
        while (
            not first
        ):  # one that has not asked yet makes room for others: a busy machine lets it wait to ask
            reader = ask(serving)
            reader.settimeout(60)
            with contextlib.suppress(ConnectionError):
                first = reader.recv(1000)
            if not first:
                reader.close()
        time.sleep(1)  # a reader that is slower than the flood
        answer = first + read_all(reader)
        reader.close()
    finally:
        stop.set()
        for each in floods:
            each.join()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


def test_slow_readers_keep_a_bounded_number_of_bytes(endpoint, monkeypatch):
    monkeypatch.setattr(servers, "MAX_WAITING", 8 << 20)
    serving = endpoint(big(20_000))  # 4 MB an answer
    peers = []
    for _ in range(12):  # one after another: each would have an answer of its own
        peers.append(ask(serving))
        peers[-1].recv(1000)
    waiting = [each for each in serving._server._connections.values() if each.state == "writing"]
    assert servers.bytes_of(waiting) <= (8 << 20) + (5 << 20)
    assert read_all(peers[-1]).endswith(b" 1\n"), "the youngest answer stays whole"
    for peer in peers:
        peer.close()


def test_an_answer_is_given_up_after_a_time_however_steadily_it_is_read(endpoint, monkeypatch):
    monkeypatch.setattr("slotel.runtime.metrics.scrape.http.connection.ANSWER_SECONDS", 1.5)
    serving = endpoint(big(40_000))  # 8 MB
    peer = ask(serving)
    begun, got = time.monotonic(), 0
    while piece := peer.recv(4096):
        got += len(piece)
        time.sleep(0.01)
        if time.monotonic() - begun > 20:
            break
    peer.close()
    assert not [each for each in serving._server._connections.values() if each.state == "writing"]
    assert got < 8 << 20


# -- the app's descriptors ----------------------------------------------------------------------------------------------

DAEMON = """
import os, sys, time, urllib.request
os.environ.update(OTEL_SERVICE_NAME="x", OTEL_EXPORTER_PROMETHEUS_PORT={port!r}, OTEL_TRACES_EXPORTER="none")
from slotel.runtime.bootstrap import start
runtime = start(os.environ)
from opentelemetry import trace
from opentelemetry.trace import SpanKind
for _ in range(2):                                    # a double fork, as daemons do
    if os.fork():
        os._exit(0)
    os.setsid()
os.closerange(3, 256)
files = [os.open(os.path.join({place!r}, f"app{{number}}"), os.O_RDWR | os.O_CREAT) for number in range(20)]
sockets = [os.pipe() for _ in range(5)]
for _ in range(50):
    trace.get_tracer("t").start_span("GET /", kind=SpanKind.SERVER).end()
deadline, calls = time.monotonic() + 60, ""
while "calls_total" not in calls and time.monotonic() < deadline:
    try:
        calls = urllib.request.urlopen("http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    except OSError:
        time.sleep(0.1)
counted = [line.split()[-1] for line in calls.splitlines() if line.startswith("traces_span_metrics_calls_total")]
intact = all(os.fstat(each).st_size == 0 for each in files) and all(os.write(w, b"!") and os.read(r, 9) == b"!" for r, w in sockets)
faults = [line for line in calls.splitlines() if line.startswith("slotel_stage_errors_total") and not line.endswith(" 0")]
open(os.path.join({place!r}, "result"), "w").write(f"{{counted}} {{intact}} {{faults}}")
os._exit(0)
"""


def test_a_daemon_that_closes_all_descriptors_keeps_its_files_and_gets_its_endpoint_back(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    code = DAEMON.format(port=port, place=str(tmp_path))
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=170)
    deadline = time.monotonic() + 70
    result = tmp_path / "result"
    while not (result.exists() and result.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert result.read_text() == "['50'] True []", "what a daemon does is no fault"


def test_a_number_that_is_the_apps_by_now_is_left_to_it():
    """A daemon closes all descriptors while the endpoint waits, and opens others; then the scraper's request comes."""
    server, waker, turns, closed = Server(lambda _requests: []), Waker(), [], []
    (listener,) = take("127.0.0.1", 0)
    server.listen([listener])

    def run():
        try:
            server.run(lambda: False, waker, lambda: turns.append(1))
        except DescriptorsClosedError as error:
            closed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    scraper = socket.create_connection(listener.getsockname(), 10)
    wait_until(lambda: len(turns) > 1, "the endpoint has accepted it")
    (number,) = server._connections
    apps, other = socket.socketpair()
    other.sendall(b"for the app")
    os.dup2(apps.fileno(), number)
    with contextlib.suppress(OSError):  # its other end is gone unless the endpoint waited just then
        scraper.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    thread.join(10)
    assert closed
    assert not server.listeners
    assert os.read(number, 99) == b"for the app"
    os.close(number)
    for each in (scraper, apps, other, waker):
        each.close()


def test_what_the_app_closes_between_a_look_and_its_use_is_no_fault(tmp_path):
    server, waker = Server(lambda _requests: []), Waker()
    listener = socket.create_server(("127.0.0.1", 0))
    server.listen([listener])
    with (tmp_path / "app").open("wb") as file, pytest.raises(DescriptorsClosedError):
        server.run(lambda: False, waker, lambda: os.dup2(file.fileno(), listener.fileno()) and None)
    listener.close()
    waker.close()


HANGING_UP = """
import signal, socket, sys
from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.store.store import Family
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as command line tools do
rows = {(str(number) + "x" * 200,): (1.0,) for number in range(5000)}
endpoint = Endpoint("127.0.0.1", 0, [lambda: [Family("big", "counter", "", "", ("a",), (), rows, {}, 0.0)]])
endpoint.start()
request = b"GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\n%s\\r\\n"
for _ in range(20):
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as peer:
        peer.sendall(request % b"" * 3)
with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as peer, peer.makefile("rb") as answer:
    peer.sendall(request % b"Connection: close\\r\\n")
    print(len(answer.read().splitlines()) > 5000)
endpoint.stop()
"""


def test_a_scraper_that_hangs_up_does_not_end_an_app_for_which_sigpipe_is_fatal():
    done = subprocess.run([sys.executable, "-c", HANGING_UP], capture_output=True, text=True, timeout=170)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
