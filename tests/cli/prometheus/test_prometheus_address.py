"""The address of a Prometheus as a person writes it: with a user and a password, or wrong."""

import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from slotel.cli.prometheus.api import PrometheusApi, PrometheusError


@pytest.fixture
def store():
    """A server that says no, and what it was asked with."""

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.asked.append(self.headers.get_all("Authorization"))
            self.send_error(401)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Asked) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.process
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), f"Basic {b64encode(b'123456:glc_p@ss').decode()}"),
        (("authorization: Bearer own",), "Bearer own"),
    ],
)
def test_a_user_and_a_password_in_it_are_sent_and_never_shown(store, headers, expected):
    api = PrometheusApi(f"http://123456:glc_p%40ss@127.0.0.1:{store.server_port}/prometheus/", headers)
    with pytest.raises(PrometheusError) as refused:
        api.query("up")
    assert store.asked == [[expected]]
    assert str(refused.value).startswith(f"http://127.0.0.1:{store.server_port}/prometheus: HTTP 401")


@pytest.mark.parametrize("url", ["ftp://h", "h:9090", "http://[::1", "http://[x]:9090"])
def test_one_that_is_no_address_is_told_so(url):
    with pytest.raises(PrometheusError, match="https://"):
        PrometheusApi(url)
