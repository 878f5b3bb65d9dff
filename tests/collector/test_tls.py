"""TLS on both sides between agents and gateways: who has no certificate is refused, and nothing is lost meanwhile."""

import subprocess
import urllib.error
import urllib.request

import pytest

from slotel.cli.doctor import collector
from support.launch import wait_until
from support.otelcol import WITHOUT_POLICY, Collector
from support.otlp import OtlpSink, Sent, post, request
from support.real import require_real


def openssl(folder, *arguments):
    subprocess.run(
        [require_real("openssl"), *arguments], cwd=folder, check=True, capture_output=True, timeout=170
    )


def certificate(folder, name, authority):
    """name.pem and name.key, signed by the authority."""
    openssl(
        folder,
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName=DNS:{name},DNS:localhost",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.csr",
    )
    openssl(
        folder,
        "x509",
        "-req",
        "-in",
        f"{name}.csr",
        "-CA",
        f"{authority}.pem",
        "-CAkey",
        f"{authority}.key",
        "-copy_extensions",
        "copy",
        "-days",
        "2",
        "-out",
        f"{name}.pem",
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for authority in ("fleet", "stranger"):
        openssl(
            folder,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={authority}",
            "-keyout",
            f"{authority}.key",
            "-out",
            f"{authority}.pem",
        )
    certificate(folder, "otel-gateway", "fleet")
    certificate(folder, "agent", "fleet")
    certificate(folder, "intruder", "stranger")
    return folder


@pytest.fixture(scope="module")
def gateway(otelcol, keys, tmp_path_factory):
    with OtlpSink() as sink:
        env = {
            "SENTRY_OTLP_TRACES_URL": sink.url,
            "TLS_CERT_FILE": f"{keys}/otel-gateway.pem",
            "TLS_KEY_FILE": f"{keys}/otel-gateway.key",
            "TLS_CLIENT_CA_FILE": f"{keys}/fleet.pem",
        }
        state = tmp_path_factory.mktemp("gateway")
        with Collector(otelcol, state, "gateway.yaml", "tls-receiver.yaml", env=env) as gateway:
            gateway.sink = sink
            yield gateway


def agent(otelcol, state, gateway, keys, name, *files):
    return Collector(
        otelcol,
        state,
        "agent.yaml",
        *files,
        WITHOUT_POLICY,
        env={
            "GATEWAY_RESOLVER": f"{{static: {{hostnames: ['127.0.0.1:{gateway.grpc_port}']}}}}",
            "TLS_CERT_FILE": f"{keys}/{name}.pem",
            "TLS_KEY_FILE": f"{keys}/{name}.key",
            "GATEWAY_CA_FILE": f"{keys}/fleet.pem",
        },
    )


def test_an_agent_with_a_certificate_of_the_fleet_is_let_in(otelcol, keys, gateway, tmp_path):
    with agent(otelcol, tmp_path / "state", gateway, keys, "agent", "tls-to-gateway.yaml") as sender:
        spans = [Sent(name="known", error=True) for _ in range(5)]
        assert post(sender.otlp, request(spans)) == 200
        wait_until(lambda: sum(span.name == "known" for span in gateway.sink.spans) == 5, "all at the sink")


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("intruder", ("tls-to-gateway.yaml",), "tls: "),
        ("agent", (), "error reading server preface"),
    ],
    ids=["a strange certificate", "no TLS at all"],
)
def test_who_is_not_of_the_fleet_is_refused_says_so_and_keeps_what_it_has(
    otelcol, keys, gateway, tmp_path, name, files, said
):
    with agent(otelcol, tmp_path / "state", gateway, keys, name, *files) as sender:
        assert post(sender.otlp, request([Sent(name="refused", error=True)])) == 200
        wait_until(lambda: said in sender.log, f"{said!r} in its log")
        wait_until(lambda: sender.metric("otelcol_exporter_queue_size", own=True) > 0, "the queue keeps it")
    assert not [span for span in gateway.sink.spans if span.name == "refused"]


def test_the_http_receiver_takes_nothing_without_tls(gateway):
    ask = urllib.request.Request(
        f"{gateway.otlp}/v1/traces", data=request([Sent(name="plain")]), method="POST"
    )
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(ask, timeout=5).close()


WITH_CERTIFICATE = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        (WITH_CERTIFICATE, "ok", ""),
        (("CERTIFICATE",), "fail", "certificate required"),
        ((), "fail", "certificate verify failed"),
        ((*WITH_CERTIFICATE, "TRACES_CLIENT_KEY"), "fail", "No such file or directory: '/no/key'"),
    ],
    ids=["all", "no certificate of its own", "no authority", "a key that is not there"],
)
def test_doctor_finds_what_an_exporter_with_these_variables_meets(
    gateway, keys, protocol, given, status, words
):
    files = {
        "CERTIFICATE": f"{keys}/fleet.pem", "CLIENT_CERTIFICATE": f"{keys}/agent.pem", "CLIENT_KEY": f"{keys}/agent.key",
        "TRACES_CLIENT_KEY": "/no/key",
    }  # fmt: skip
    port = gateway.grpc_port if protocol == "grpc" else gateway.http_port
    environ = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{port}",
        **{f"OTEL_EXPORTER_OTLP_{name}": files[name] for name in given},
    }
    [finding] = collector.reach(environ)
    assert finding.status == status, finding
    assert words in finding.text
