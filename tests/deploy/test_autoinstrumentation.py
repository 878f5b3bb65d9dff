"""The tree of the auto-instrumentation image, by the operator's contract: built, measured, and loaded by other Pythons."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.launch import clean_environ, wait_until
from support.otelcol import ROOT
from support.otlp import Endpoint

FOLDER = ROOT / "deploy/kubernetes/autoinstrumentation"
VOLUME_MIB = 200
"""What the operator gives the volume that the tree is copied into."""

APP = """
import sys
from opentelemetry import trace
with trace.get_tracer("app").start_as_current_span("injected", kind=trace.SpanKind.SERVER) as span:
    span.set_attribute("user.password", "hunter2")
trace.get_tracer_provider().force_flush()
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    target = tmp_path_factory.mktemp("tree")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    pip = (
        [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "install", "--quiet"]
    )
    requirements = str(FOLDER / "requirements.txt")
    subprocess.run(
        [*pip, "--target", str(target), "-r", requirements, f"{ROOT}[otlp]"], check=True, timeout=300
    )
    return target


def pythons():
    found = sorted(Path.home().glob(".pyenv/versions/3.1[0-9].*/bin/python"))
    return [
        sys.executable,
        *(str(path) for path in found if path.parts[-3][:4] != f"3.{sys.version_info[1]}"),
    ]


def test_the_tree_fits_into_the_operators_volume_twice_as_the_image_carries_it(tree):
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    assert size < VOLUME_MIB * 2**20 / 2


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).parts[-3])
def test_a_bare_python_with_the_tree_on_its_path_is_a_service_under_slotel(tree, tmp_path, python):
    with Endpoint() as endpoint:
        environ = clean_environ(
            PYTHONPATH=f"{tree}/opentelemetry/instrumentation/auto_instrumentation:{tree}",
            PYTHONDONTWRITEBYTECODE="1",
            OTEL_PYTHON_DISTRO="slotel",
            OTEL_PYTHON_CONFIGURATOR="slotel",
            OTEL_SERVICE_NAME="injected",
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_METRICS_EXPORTER="prometheus",
            OTEL_EXPORTER_PROMETHEUS_PORT="0",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.base,
        )
        run = subprocess.run(
            [python, "-B", "-c", APP], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=170
        )
        assert run.returncode == 0, run.stderr
        [span] = wait_until(lambda: endpoint.spans, f"the span; it said:\n{run.stderr}")
    assert span.name == "injected"
    assert span.resource["telemetry.distro.name"] == "slotel"
    assert span.attributes["user.password"] == "[Filtered]"


def test_the_dockerfile_keeps_the_operators_contract():
    text = (FOLDER / "Dockerfile").read_text()
    assert "/autoinstrumentation\n" in text
    assert "/autoinstrumentation-musl\n" in text
    assert "chmod -R go+rX /autoinstrumentation" in text
    last = text[text.rindex("FROM ") :]
    assert last.startswith("FROM busybox:")  # it has `cp`, which the init container runs
    for line in text.splitlines():
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / source).exists() for source in line.split()[1:-1]), line
    assert os.access(FOLDER / "requirements.txt", os.R_OK)
