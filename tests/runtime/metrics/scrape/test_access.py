"""Who may ask the metrics endpoint: names against DNS rebinding, credentials and certificates from files."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.http.access import Access, AccessError, read_access
from slotel.runtime.metrics.store.store import Family
from support.launch import wait_until
from support.prom import Prometheus
from support.real import require_real


@contextmanager
def serving(environ, host="127.0.0.1"):
    family = Family("orders", "counter", "Orders.", "", (), (), {(): (3.0,)}, {}, 1.0)
    endpoint = Endpoint(host, 0, [lambda: [family]], access=read_access(environ, host))
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.stop()


def ask(endpoint, path="/metrics", host=None, context=None, **headers):
    """Return status, body and headers of the answer."""
    if context is None:
        made = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=20)
    else:
        made = http.client.HTTPSConnection("127.0.0.1", endpoint.port, timeout=20, context=context)
    with closing(made) as connection:
        connection.putrequest("GET", path, skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("127.0.0.1", None, 200),
        ("127.0.0.1", "localhost:9464", 200),
        ("127.0.0.1", "LOCALHOST", 200),
        ("127.0.0.1", "127.0.0.1:9464", 200),
        ("127.0.0.1", "[::1]:9464", 200),
        ("127.0.0.1", "10.1.2.3", 200),
        ("127.0.0.1", "attacker.example:9464", 421),
        ("127.0.0.1", "127.0.0.1.attacker.example", 421),
        ("127.0.0.1", "localhost.attacker.example", 421),
        ("127.0.0.1", "app:9464", 421),
        ("0.0.0.0", "app:9464", 200),
        ("0.0.0.0", "checkout.shop.svc.cluster.local:9464", 200),
        ("0.0.0.0", "10.1.2.3:9464", 200),
        ("0.0.0.0", "attacker.example:9464", 421),
        ("0.0.0.0", "metrics.shop.test", 421),
    ],
)
def test_only_a_host_that_names_the_endpoint_is_answered(bound, host, status):
    with serving({}, bound) as endpoint:
        for path in ("/metrics", "/healthz", "/"):
            found, body, _ = ask(endpoint, path, host)
            assert (found == 421) == (status == 421)
            assert ("orders_total 3" in body) == (path == "/metrics" and status == 200)


def test_more_names_are_given_by_a_list_and_any_by_a_star():
    with serving({"SLOTEL_METRICS_HOSTS": "metrics.shop.test, Other.Test"}) as endpoint:
        assert ask(endpoint, host="metrics.shop.test:9464")[0] == 200
        assert ask(endpoint, host="other.test.")[0] == 200
        assert ask(endpoint, host="attacker.example")[0] == 421
    with serving({"SLOTEL_METRICS_HOSTS": "*"}) as endpoint:
        assert ask(endpoint, host="attacker.example")[0] == 200


def test_two_hosts_in_one_request_are_refused():
    with (
        serving({}) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as peer,
    ):
        peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: attacker.example\r\nHost: localhost\r\n\r\n")
        assert peer.recv(4096).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [16_500, 60_000, 500_000])
def test_headers_beyond_16_kb_are_refused_also_when_they_come_at_once(size):
    with (
        serving({}) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as peer,
    ):
        head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * size + b"\r\n\r\n"
        try:
            peer.sendall(head)
            answer = peer.recv(4096)
        except OSError:
            return  # closed before all of it was sent
        assert answer[:12] in (b"HTTP/1.1 431", b"")


def test_a_bearer_token_from_a_file_is_asked_for_and_may_be_changed(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("first-token\nsecond-token\n")
    with serving({"SLOTEL_METRICS_TOKEN_FILE": str(file)}) as endpoint:
        status, body, headers = ask(endpoint)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "orders" not in body
        for wrong in (
            "Bearer first",
            "Bearer",
            "Bearer first-token x",
            "Basic Zmlyc3QtdG9rZW4=",
            "first-token",
        ):
            assert ask(endpoint, Authorization=wrong)[0] == 401, wrong
        assert ask(endpoint, Authorization="Bearer first-token")[0] == 200
        assert ask(endpoint, Authorization="bearer second-token")[0] == 200
        assert ask(endpoint, "/")[0] == 401
        assert ask(endpoint, "/healthz")[0] == 200
        assert ask(endpoint, "/healthz", "attacker.example")[0] == 421
        replaced = tmp_path / "new"
        replaced.write_text("third-token")
        replaced.replace(file)
        assert ask(endpoint, Authorization="Bearer third-token")[0] == 200
        assert ask(endpoint, Authorization="Bearer first-token")[0] == 401
        file.unlink()
        assert ask(endpoint, Authorization="Bearer third-token")[0] == 401


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(
            [require_real("openssl"), *arguments], cwd=folder, check=True, capture_output=True, timeout=120
        )

    for name in ("server", "client", "other"):
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip
    return folder


def trusting(certificates, client=None):
    context = ssl.create_default_context(cafile=certificates / "server.crt")
    if client is not None:
        context.load_cert_chain(certificates / f"{client}.crt", certificates / f"{client}.key")
    return context


def test_tls_and_basic_authentication_are_configured_as_prometheus_does(tmp_path, certificates):
    bcrypt = pytest.importorskip("bcrypt")
    file = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
    file.write_text(
        f"tls_server_config:\n  cert_file: {certificates}/server.crt\n  key_file: {certificates}/server.key\n"
        f"basic_auth_users:\n  prometheus: {hashed}\n"
    )
    with serving({"SLOTEL_METRICS_WEB_CONFIG": str(file)}) as endpoint:
        assert endpoint.address.startswith("https://")
        context = trusting(certificates)
        right = "Basic " + base64.b64encode(b"prometheus:hunter2").decode()
        assert "orders_total 3" in ask(endpoint, context=context, Authorization=right)[1]
        assert ask(endpoint, context=context, Authorization=right)[0] == 200
        assert ask(endpoint, context=context)[0] == 401
        wrong = "Basic " + base64.b64encode(b"prometheus:hunter3").decode()
        assert ask(endpoint, context=context, Authorization=wrong)[0] == 401
        assert ask(endpoint, context=context, Authorization="Basic ???")[0] == 401
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(endpoint, Authorization=right)  # without TLS
        with pytest.raises(ssl.SSLError):
            ask(endpoint, context=ssl.create_default_context(), Authorization=right)
        assert ask(endpoint, context=context, Authorization=right)[0] == 200


def test_prometheus_itself_scrapes_with_a_password_with_a_token_and_not_without(tmp_path, certificates):
    bcrypt = pytest.importorskip("bcrypt")
    tls = (
        f"tls_server_config:\n  cert_file: {certificates}/server.crt\n  key_file: {certificates}/server.key\n"
    )
    hashed = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
    web, password, token = (tmp_path / name for name in ("web.yml", "password.yml", "token"))
    web.write_text(tls)
    password.write_text(f"{tls}basic_auth_users:\n  prometheus: {hashed}\n")
    token.write_text("a-long-token\n")
    by_password = {"SLOTEL_METRICS_WEB_CONFIG": str(password)}
    by_token = {"SLOTEL_METRICS_WEB_CONFIG": str(web), "SLOTEL_METRICS_TOKEN_FILE": str(token)}
    https = {"scheme": "https", "tls_config": {"ca_file": str(certificates / "server.crt")}}
    users = {"basic_auth": {"username": "prometheus", "password": "hunter2"}}
    tokens = {"authorization": {"credentials_file": str(token)}}
    scrape = {
        "password": https | users,
        "token": https | tokens,
        "wrong_password": https | {"basic_auth": {"username": "prometheus", "password": "hunter3"}},
        "no_token": https,
        "no_trust": {"scheme": "https", **tokens},
        "no_tls": tokens,
    }
    with serving(by_password) as first, serving(by_token) as second:
        ports = {job: (first if "password" in job else second).port for job in scrape}
        jobs = {job: [f"127.0.0.1:{port}"] for job, port in ports.items()}
        with Prometheus(tmp_path / "prometheus", jobs, scrape=scrape) as prometheus:
            prometheus.wait("sum(up)", 2, deadline=120)
            prometheus.wait("count(up)", len(scrape), deadline=120)
            assert {sample["metric"]["job"] for sample in prometheus.query("up == 1")} == {
                "password",
                "token",
            }
            assert prometheus.value("sum(orders_total)") == 6


def test_the_two_files_of_the_page_on_security_work_as_they_are_printed(tmp_path, certificates):
    """But for the hash and the port, which are the reader's."""
    bcrypt = pytest.importorskip("bcrypt")
    text = (Path(__file__).parents[4] / "docs/security.md").read_text()
    web, prometheus = (block for block in re.findall(r"```yaml\n(# .*?)```", text, re.DOTALL))
    assert (web.split()[1], prometheus.split()[1]) == ("web.yml:", "prometheus.yml:")
    for folder in ("service", "prometheus"):
        (tmp_path / folder).mkdir()
    for name in ("server.crt", "server.key"):
        (tmp_path / "service" / name).write_bytes((certificates / name).read_bytes())
    (tmp_path / "prometheus/server.crt").write_bytes((certificates / "server.crt").read_bytes())
    (tmp_path / "prometheus/password").write_text("hunter2\n")
    file = tmp_path / "service/web.yml"
    hashed = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
    file.write_text(re.sub(r"prometheus: \S+", lambda _: f"prometheus: {hashed}", web))
    (job,) = YAML(typ="safe").load(prometheus)["scrape_configs"]
    with serving({"SLOTEL_METRICS_WEB_CONFIG": str(file)}) as endpoint:
        scrape = {"shop": {name: job[name] for name in ("scheme", "tls_config", "basic_auth")}}
        target = job["static_configs"][0]["targets"][0].replace("9464", str(endpoint.port))
        with Prometheus(tmp_path / "prometheus", {"shop": [target]}, scrape=scrape) as scraping:
            scraping.wait("sum(orders_total)", 3, deadline=60)


def test_a_large_answer_goes_through_tls_whole(tmp_path, certificates):
    file = tmp_path / "web.yml"
    file.write_text(
        f"tls_server_config: {{cert_file: {certificates}/server.crt, key_file: {certificates}/server.key}}"
    )
    series = {(f"{number:06d}" + "x" * 100,): (1.0,) for number in range(20_000)}
    family = Family("orders", "counter", "Orders.", "", ("team",), (), series, {}, 1.0)
    endpoint = Endpoint(
        "127.0.0.1", 0, [lambda: [family]],
        access=read_access({"SLOTEL_METRICS_WEB_CONFIG": str(file)}, "127.0.0.1"),
    )  # fmt: skip
    endpoint.start()
    try:
        body = ask(endpoint, context=trusting(certificates))[1]
        assert body.count("orders_total{") == 20_000
    finally:
        endpoint.stop()


def test_a_client_certificate_can_be_asked_for_and_a_renewed_one_is_read(tmp_path, certificates):
    for name in ("crt", "key"):
        (tmp_path / f"server.{name}").write_bytes((certificates / f"server.{name}").read_bytes())
    file = tmp_path / "web.yml"
    file.write_text(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  min_version: TLS13\n"
        f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {certificates}/client.crt\n"
    )
    with serving({"SLOTEL_METRICS_WEB_CONFIG": str(file)}) as endpoint:
        assert ask(endpoint, context=trusting(certificates, "client"))[0] == 200
        for client in (None, "other"):
            with pytest.raises((OSError, http.client.HTTPException)):
                ask(endpoint, context=trusting(certificates, client))
        for name in ("crt", "key"):
            (tmp_path / f"server.{name}").write_bytes((certificates / f"other.{name}").read_bytes())

        def is_renewed():
            context = ssl.create_default_context(cafile=certificates / "other.crt")
            context.load_cert_chain(certificates / "client.crt", certificates / "client.key")
            try:
                return ask(endpoint, context=context)[0] == 200
            except OSError:
                return False

        wait_until(is_renewed, "the renewed certificate")


PATCHED = """
import sys
from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.http.access import read_access
access = read_access({"SLOTEL_METRICS_WEB_CONFIG": sys.argv[1]}, "127.0.0.1")
from gevent import monkey
monkey.patch_all()
import http.client, os, ssl
endpoint = Endpoint("127.0.0.1", 0, [], access=access)
endpoint.start()
context = ssl.create_default_context(cafile=sys.argv[2])
for _ in range(2):
    asked = http.client.HTTPSConnection("127.0.0.1", endpoint.port, timeout=20, context=context)
    asked.request("GET", "/healthz")
    print(asked.getresponse().status, flush=True)
    os.utime(sys.argv[2])  # renewed
os._exit(0)
"""


def test_tls_is_spoken_where_gevent_patches_python_after_the_start_and_after_a_renewal(
    tmp_path, certificates
):
    """As a script with `monkey.patch_all()` does: Python's own context cannot make one of gevent's sockets."""
    file = tmp_path / "web.yml"
    file.write_text(
        f"tls_server_config:\n  cert_file: {certificates}/server.crt\n  key_file: {certificates}/server.key\n"
    )
    arguments = [sys.executable, "-c", PATCHED, str(file), str(certificates / "server.crt")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["200", "200"], done.stderr[-3000:]


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"SLOTEL_METRICS_TOKEN_FILE": "/nowhere"}, "/nowhere cannot be read: the endpoint stays closed"),
        ({"SLOTEL_METRICS_TOKEN_FILE": "empty"}, "is empty: write a token into it"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "/nowhere"}, "/nowhere cannot be read"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "empty"}, "write tls_server_config and basic_auth_users"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "other.yml"}, "write tls_server_config and basic_auth_users"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "half.yml"}, "cert_file or key_file is missing"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "cipher.yml"}, "tls_server_config.cipher_suites is not supported"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "missing.yml"}, "the certificate cannot be used: FileNotFoundError"),
        ({"SLOTEL_METRICS_WEB_CONFIG": "broken.yml"}, "not valid YAML"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_keep_the_endpoint_closed(tmp_path, environ, text):
    tls = "tls_server_config: {cert_file: a.crt, key_file: a.key%s}"
    for name, content in {
        "empty": "",
        "other.yml": "rate_limit: {}",
        "half.yml": "tls_server_config: {cert_file: a}",
        "cipher.yml": tls % ", cipher_suites: [x]",
        "missing.yml": tls % "",
        "broken.yml": "a: [",
    }.items():
        (tmp_path / name).write_text(content)
    (name, value), *_ = environ.items()
    if not value.startswith("/"):
        value = str(tmp_path / value)
    with pytest.raises(AccessError, match=text.replace(".", r"\.")):
        read_access({name: value}, "127.0.0.1")


def test_without_configuration_whoever_names_loopback_is_answered():
    assert not Access().is_protected
    assert Access().is_local
