"""The files in collector/: each is valid for the real collector, and what must agree agrees."""

import os
import re
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from slotel.compile.collector.policy import CONNECTOR, DIMENSIONS, PROCESSOR, files, policy
from slotel.config.load import read_configuration
from slotel.config.names import SPAN_BOUNDS
from slotel.config.service import Service
from support.kept import run_kept
from support.otelcol import CONFIGS, ROOT, WITHOUT_POLICY, find_otelcol

MAIN = ("otel-collector.yaml", "agent.yaml", "gateway.yaml")
WITH_POLICY = MAIN[:2]
NOT_OF_A_COLLECTOR = {"builder.yaml", "alerts.yaml", "prometheus.yaml"}
ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "OTELCOL_NAME": "node-1",
    "SENTRY_OTLP_LOGS_URL": "http://127.0.0.1:1/api/1/integration/otlp/v1/logs/",
    "SENTRY_OTLP_TRACES_URL": "http://127.0.0.1:1/api/1/integration/otlp/v1/traces/",
    "SENTRY_PUBLIC_KEY": "public",
    "GATEWAY_RESOLVER": "{static: {hostnames: ['127.0.0.1:4317', '127.0.0.2:4317']}}",
    "REMOTE_WRITE_URL": "http://127.0.0.1:1/api/v1/write",
    "BACKEND_OTLP_URL": "http://127.0.0.1:1",
    "TLS_CERT_FILE": "cert.pem",
    "TLS_KEY_FILE": "key.pem",
    "TLS_CLIENT_CA_FILE": "ca.pem",
    "GATEWAY_CA_FILE": "ca.pem",
}


@cache
def read(name):
    return YAML(typ="safe").load((CONFIGS / name).read_text())


def validate(otelcol, tmp_path, *files):
    command = [otelcol, "validate", *(f"--config={CONFIGS / file}" for file in files)]
    run = run_kept(command, env={**ENVIRON, "OTELCOL_STATE": str(tmp_path)}, elsewhere=tmp_path)
    return run.returncode, run.stderr


@pytest.mark.parametrize(
    "files",
    [
        *((name,) for name in MAIN),
        *((name, "policy.yaml") for name in WITH_POLICY),
        *((name, "policy.yaml", "remote-write.yaml") for name in WITH_POLICY),
        ("otel-collector.yaml", "policy.yaml", "backend.yaml"),
        ("gateway.yaml", "backend.yaml"),
        ("otel-collector.yaml", "policy.yaml", "no-sentry.yaml"),
        *((name, "tls-receiver.yaml") for name in MAIN),
        ("agent.yaml", "policy.yaml", "tls-to-gateway.yaml"),
        ("otel-collector.yaml", "policy.yaml", "logs.yaml"),
        ("agent.yaml", "policy.yaml", "kubernetes.yaml", "agent-logs.yaml"),
        ("gateway.yaml", "gateway-logs.yaml"),
    ],
    ids="+".join,
)
def test_every_configuration_passes_validate(otelcol, tmp_path, files):
    """The statements of each policy are validated once, by themselves; what comes beside them is merged without them."""
    alone = len(files) == 1 or files[1:] == ("policy.yaml",) or files[0] not in WITH_POLICY
    assert validate(otelcol, tmp_path, *files, *([] if alone else [WITHOUT_POLICY])) == (0, "")


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip), ("1", pytest.fail)])
def test_without_go_and_without_a_collector_the_tests_say_what_to_install(monkeypatch, required, outcome):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("REQUIRE_REAL", required)
    monkeypatch.delenv("OTELCOL", raising=False)
    with pytest.raises(outcome.Exception, match="run 'make collector'"):
        find_otelcol()


def test_every_file_of_the_folder_is_validated():
    listed = {
        name
        for mark in test_every_configuration_passes_validate.pytestmark
        for files in mark.args[1]
        for name in files
    }
    assert listed == {path.name for path in CONFIGS.glob("*.yaml")} - NOT_OF_A_COLLECTOR


def test_every_component_that_is_used_is_built_and_every_one_that_is_built_is_used(otelcol):
    used = set()
    for path in CONFIGS.glob("*.yaml"):
        if path.name not in NOT_OF_A_COLLECTOR:
            document = read(path.name)
            for kind in ("receivers", "processors", "connectors", "exporters", "extensions"):
                used |= {(kind, name.split("/")[0]) for name in document.get(kind) or {}}
    listed = run_kept([otelcol, "components"]).stdout
    there, kind = set(), ""
    for line in listed.splitlines():
        if re.fullmatch(r"[a-z]+:", line):
            kind = line[:-1]
        elif found := re.fullmatch(r"    - name: (\w+)", line):
            there.add((kind, found[1]))
    components = {
        pair
        for pair in there
        if pair[0] in {"receivers", "processors", "connectors", "exporters", "extensions"}
    }
    assert used <= components
    if Path(otelcol).name == "otelcol" and ".cache" in otelcol:
        assert components <= used


@pytest.mark.parametrize("name", WITH_POLICY)
def test_the_configurations_redact_what_an_empty_policy_redacts(name):
    """Where they do not: python collector/refresh.py."""
    empty = policy([Service()])
    expected = _unescaped(read(name)["processors"][PROCESSOR])
    assert expected == empty["processors"][PROCESSOR]


@pytest.mark.parametrize("name", WITH_POLICY)
def test_the_collector_counts_into_the_services_buckets_and_dimensions(name):
    connector = read(name)["connectors"][CONNECTOR]
    assert [_seconds(text) for text in connector["histogram"]["explicit"]["buckets"]] == list(SPAN_BOUNDS)
    assert [dimension["name"] for dimension in connector["dimensions"]] == list(DIMENSIONS)


def _unescaped(node):
    if isinstance(node, dict):
        return {key: _unescaped(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_unescaped(value) for value in node]
    return node.replace("$$", "$") if isinstance(node, str) else node


def _seconds(text):
    return int(text.removesuffix("ms")) / 1000


def test_the_policy_in_the_repository_is_what_generate_writes_for_the_example():
    reading = read_configuration({}, str(ROOT / "examples/slotel.yaml"))
    assert reading.problems == ()
    assert (CONFIGS / "policy.yaml").read_text() == files(reading.service)["collector/policy.yaml"]
