"""The endpoint answers real scrapers over real sockets, and outlives bad ones."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.http.connection import Answer
from slotel.runtime.metrics.scrape.http.server import MAX_CONNECTIONS
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.lifecycle import PROCESS
from support.launch import wait_until


def counter(name: str = "orders", value: float = 3.0, kind: str = "counter") -> Family:
    return Family(name, kind, "Orders.", "", ("team",), (), {("a",): (value,)}, {}, 1.0)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint(
        "127.0.0.1",
        0,
        [lambda: [counter()]],
        pages={"/": lambda: Answer("200 OK", "text/html", b"<h1>slotel</h1>", headers=(("X-Own", "1"),))},
    )
    made.start()
    yield made
    made.stop()


def rendered(endpoint: Endpoint) -> str:
    return "".join(endpoint._exposition.render(endpoint.families()))


def get(endpoint: Endpoint, path: str = "/metrics", **headers: str) -> tuple[str, bytes]:
    address = endpoint.address.replace("/metrics", path)
    request = urllib.request.Request(
        address, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read()


def talk(endpoint: Endpoint, data: bytes) -> bytes:
    with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as peer:
        peer.sendall(data)
        received = b""
        while chunk := peer.recv(65536):
            received += chunk
        return received


def test_a_plain_scrape_gets_the_text_format(endpoint):
    kind, body = get(endpoint)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert [s.value for f in parse_text(body.decode()) for s in f.samples] == [3.0]


def test_a_scraper_that_prefers_openmetrics_gets_it(endpoint):
    kind, body = get(
        endpoint, Accept="application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    )
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert [s.name for f in parse_openmetrics(body.decode()) for s in f.samples] == ["orders_total"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                "application/openmetrics-text;version=0.0.1;q=0.5,"
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
            ),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (
            "application/vnd.google.protobuf;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.4",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    ],
    ids=["as it ships", "text only", "with native histograms"],
)
def test_prometheus_3_gets_a_content_type_that_it_knows(endpoint, accept, kind):
    assert get(endpoint, Accept=accept)[0] == kind


def test_the_answer_is_compressed_for_who_takes_gzip(endpoint):
    _, body = get(endpoint, Accept_Encoding="gzip")
    assert gzip.decompress(body) == get(endpoint)[1]


def test_pages_stand_beside_the_metrics(endpoint):
    assert get(endpoint, "/healthz")[1] == b"ok\n"
    assert get(endpoint, "/") == ("text/html", b"<h1>slotel</h1>")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(endpoint, "/nothing")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET /metrics SPDY/9\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 40_000, b"431"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200"),
    ],
)
def test_garbage_gets_its_status_and_the_next_scrape_its_metrics(endpoint, sent, status):
    try:
        assert talk(endpoint, sent).split(b" ")[1] == status
    except ConnectionResetError:
        assert status == b"431", "only a peer that sends on after its answer is reset"
    assert b"orders_total" in get(endpoint)[1]


def test_a_head_request_gets_no_body(endpoint):
    head, _, body = talk(endpoint, b"HEAD /metrics HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert b"Content-Length: " in head
    assert body == b""


def test_a_scraper_that_hangs_up_takes_nothing_with_it(endpoint):
    for sent in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n"):
        with socket.create_connection((endpoint.host, endpoint.port)) as peer:
            peer.sendall(sent)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert b"orders_total" in get(endpoint)[1]


def test_silent_connections_without_number_do_not_lock_a_scraper_out(endpoint):
    silent = [socket.create_connection((endpoint.host, endpoint.port)) for _ in range(MAX_CONNECTIONS + 20)]
    try:
        assert b"orders_total" in get(endpoint)[1]
    finally:
        for peer in silent:
            peer.close()


def test_50_scrapers_at_once_are_all_answered():
    asked = []

    def source():
        asked.append(1)
        return [counter()]

    endpoint = Endpoint("127.0.0.1", 0, [source])
    endpoint.start()
    bodies: list[bytes] = []
    try:
        threads = [threading.Thread(target=lambda: bodies.append(get(endpoint)[1])) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        endpoint.stop()
    assert len(bodies) == 50
    assert len(set(bodies)) == 1


def test_a_source_that_fails_is_counted_and_costs_only_itself():
    faults = []
    endpoint = Endpoint(
        "127.0.0.1",
        0,
        [lambda: 1 / 0, lambda: [counter()]],
        fault=lambda part, error: faults.append((part, str(error))),
    )
    assert "orders_total" in rendered(endpoint)
    assert faults == [("scrape", "division by zero")]


def test_two_metrics_of_one_name_get_one_answer_and_one_warning(caplog):
    caplog.set_level(logging.WARNING, "slotel")
    dropped = []
    endpoint = Endpoint(
        "127.0.0.1",
        0,
        [lambda: [counter(value=3), counter(value=5), counter("orders_total", kind="gauge")]],
        dropped=lambda *what: dropped.append(what),
    )
    for _ in range(2):
        assert [s.value for f in parse_text(rendered(endpoint)) for s in f.samples] == [3.0]
    assert [record.message for record in caplog.records] == [
        "metrics: several metrics are named orders: if two have the same series, only the first is served",
        "metrics: several metrics are named orders_total: if two have the same series, only the first is served",
    ]
    assert dropped == [("metrics", "name_collision")] * 2


def test_ipv6_has_its_brackets():
    try:
        endpoint = Endpoint("::1", 0, [lambda: [counter()]])
        endpoint.start()
    except OSError:
        pytest.skip("no IPv6 here")
    try:
        if not endpoint.holds_port:
            pytest.skip("no IPv6 here")
        assert endpoint.address == f"http://[::1]:{endpoint.port}/metrics"
        assert b"orders_total" in get(endpoint)[1]
    finally:
        endpoint.stop()


# -- the port --------------------------------------------------------------------------------------------------


def test_a_stranger_on_the_port_is_named_once_and_the_port_taken_when_it_goes(caplog):
    caplog.set_level(logging.INFO, "slotel")
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        number = stranger.getsockname()[1]
        endpoint = Endpoint("127.0.0.1", number, [lambda: [counter()]])
        endpoint.start()
        time.sleep(1.2)
        assert not endpoint.holds_port
    try:
        wait_until(lambda: endpoint.holds_port, "the port is taken when it is free")
        assert b"orders_total" in get(endpoint)[1]
    finally:
        endpoint.stop()
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert (
        f"OTEL_EXPORTER_PROMETHEUS_PORT={number}: another process has port {number} on 127.0.0.1" in errors[0]
    )
    assert "set OTEL_EXPORTER_PROMETHEUS_PORT to a free port" in errors[0]


def test_a_sibling_stands_by_in_silence_and_takes_over(caplog, endpoint):
    caplog.set_level(logging.INFO, "slotel")
    second = Endpoint("127.0.0.1", endpoint.port, [lambda: [counter(value=4)]], sibling=lambda: True)
    second.start()
    try:
        assert not second.holds_port
        assert caplog.records == []
        endpoint.stop()
        wait_until(lambda: second.holds_port, "the sibling takes over", deadline=10)
        assert b'orders_total{team="a"} 4' in get(second)[1]
    finally:
        second.stop()


def test_a_name_that_is_no_address_here_is_named_and_nothing_is_raised(caplog):
    endpoint = Endpoint("host.invalid", 9464, [])
    endpoint.start()
    try:
        assert not endpoint.holds_port
        assert "OTEL_EXPORTER_PROMETHEUS_HOST='host.invalid'" in caplog.text
    finally:
        endpoint.stop()


# -- fork ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_at_a_fork_no_thread_runs_and_the_child_takes_over_when_the_parent_gives_the_port_free():
    at_fork: list[list[str]] = []
    names = lambda: at_fork.append([thread.name for thread in threading.enumerate()])  # noqa: E731
    PROCESS.register("store", before_fork=names)  # the store's is the last callback before the fork
    endpoint = Endpoint("127.0.0.1", 0, [lambda: [counter(value=os.getpid())]])
    endpoint.start()
    listen, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(report, b"held" if endpoint.holds_port else b"free")
            time.sleep(60)
        finally:
            os._exit(0)

    def answering() -> int:
        try:
            return int(get(endpoint)[1].split()[-1])
        except OSError:
            return 0

    try:
        assert "slotel-scrape" not in at_fork[0]
        assert os.read(listen, 4) == b"free", "the child closed what it inherited"
        assert answering() == os.getpid(), "the parent goes on"
        endpoint.stop()
        wait_until(lambda: answering() == child, "the child answers", deadline=10)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(listen)
        os.close(report)
