"""The first hour with the collector: as an ordinary user, with the defaults, each thing that is missing named before it starts."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support.kept import run_kept
from support.launch import wait_until
from support.otelcol import CONFIGS, WITHOUT_POLICY, Collector
from support.otlp import OtlpSink, Sent, post, request
from support.real import require_real

MAIN = ("otel-collector.yaml", "agent.yaml", "gateway.yaml")
NOBODY = 65534
COMPLETE = {
    "SENTRY_OTLP_TRACES_URL": "http://127.0.0.1:1/",
    "SENTRY_PUBLIC_KEY": "public",
    "GATEWAY_RESOLVER": "{static: {hostnames: ['127.0.0.1:4327']}}",
}
NEEDED = {
    "otel-collector.yaml": ("SENTRY_OTLP_TRACES_URL", "SENTRY_PUBLIC_KEY"),
    "agent.yaml": ("GATEWAY_RESOLVER",),
    "gateway.yaml": ("SENTRY_OTLP_TRACES_URL", "SENTRY_PUBLIC_KEY"),
}
SAID = {
    "SENTRY_OTLP_TRACES_URL": "exporters::otlp_http/sentry: at least one endpoint",
    "SENTRY_PUBLIC_KEY": "extensions::bearertokenauth/SENTRY_PUBLIC_KEY: no bearer token provided",
    "GATEWAY_RESOLVER": "no resolvers specified for the exporter",
}


def defaults(name):
    """The default of every variable of a configuration."""
    return dict(re.findall(r"\$\{env:(\w+):-([^{}]*|\$\{env:HOME\}[^{}]*)\}", (CONFIGS / name).read_text()))


def configured(config):
    """The options of a collector, without the policy where the configuration has one: its statements are validated elsewhere."""
    files = [CONFIGS / config] if config == "gateway.yaml" else [CONFIGS / config, WITHOUT_POLICY]
    return [f"--config={file}" for file in files]


@pytest.fixture
def for_everyone():
    """A folder that every user may enter: pytest's own are for the one who runs it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("config", MAIN)
def test_it_starts_as_an_ordinary_user_with_no_directory_prepared(otelcol, for_everyone, config):
    binary = shutil.copy(otelcol, for_everyone / "otelcol")
    home = for_everyone / "home"
    home.mkdir()
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(home, user, user)
    with OtlpSink() as sink:
        env = {**COMPLETE, "SENTRY_OTLP_TRACES_URL": sink.url, "HOME": str(home)}
        with Collector(str(binary), None, config, env=env, user=user) as running:
            assert post(running.otlp, request([Sent(error=True)])) == 200
            wait_until(lambda: list((home / ".local/state").glob("*/exporter_*")), "its queue is in its home")


def test_one_variable_sets_the_memory(otelcol, tmp_path):
    for mebibytes in ("50", "100", "1000"):
        for config in MAIN:
            env = {
                "PATH": os.environ["PATH"],
                **COMPLETE,
                "OTELCOL_MEMORY_MIB": mebibytes,
                "HOME": str(tmp_path),
            }
            run = run_kept([otelcol, "validate", *configured(config)], env=env, elsewhere=tmp_path)
            assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(("config", "variable"), [(c, v) for c, names in NEEDED.items() for v in names])
def test_what_is_missing_is_named_before_it_starts(otelcol, tmp_path, config, variable):
    env = {name: value for name, value in COMPLETE.items() if name != variable}
    for given in ({}, {variable: ""}):
        named = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **env, **given}
        run = run_kept([otelcol, "validate", *configured(config)], env=named, elsewhere=tmp_path)
        assert run.returncode == 1
        assert SAID[variable] in run.stderr


def test_an_agent_and_a_gateway_on_one_host_share_no_port_and_no_directory():
    agent, gateway = defaults("agent.yaml"), defaults("gateway.yaml")
    ports = [name for name in agent if name.endswith("_PORT")]
    assert len(ports) == 5
    assert not {agent[name] for name in ports} & {gateway[name] for name in ports if name in gateway}
    assert agent["OTELCOL_STATE"] != gateway["OTELCOL_STATE"]
    assert "GATEWAY_RESOLVER" not in agent


def test_the_scrape_jobs_are_those_that_the_alerts_ask_for_and_prometheus_takes_them(tmp_path):
    scrape = YAML(typ="safe").load((CONFIGS / "prometheus.yaml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"][0] for job in scrape["scrape_configs"]}
    asked = re.findall(r'job="([\w-]+)"', (CONFIGS / "alerts.yaml").read_text())
    assert set(asked) <= set(jobs)
    agent, gateway = defaults("agent.yaml"), defaults("gateway.yaml")
    assert jobs == {
        "collector": f"127.0.0.1:{agent['PROMETHEUS_PORT']}",
        "otelcol": f"127.0.0.1:{agent['TELEMETRY_PORT']}",
        "otelcol-agent": f"127.0.0.1:{agent['TELEMETRY_PORT']}",
        "otelcol-gateway": f"127.0.0.1:{gateway['TELEMETRY_PORT']}",
    }
    run = subprocess.run(
        [require_real("promtool"), "check", "config", str(CONFIGS / "prometheus.yaml")],
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert run.returncode == 0, run.stdout + run.stderr
