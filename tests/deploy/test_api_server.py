"""Each supported minor version of Kubernetes takes what the deployments create: its API server's own validation says so.

Built from the module k8s.io/kubernetes, once for each version, into .cache/kubernetes/. `make test` asks those that are built
already, with REQUIRE_REAL=1 also the oldest and the newest; `make kubernetes` all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support.blocks import blocks_of
from support.gotool import built
from support.kept import run_kept
from support.otelcol import ROOT
from support.rendered import OF_OPERATORS, helm, kustomize

VERSIONS = ("1.30.14", "1.31.14", "1.32.13", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2")
"""The newest of each minor version that the Go module proxy has."""

ALWAYS = (VERSIONS[0], VERSIONS[-1])
NEWER_WORD = (
    'warning: Service otel-agent: spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'
)
"""The kustomization keeps the word that every supported version takes; the newest warns of it."""
BUILD = Path(__file__).with_name("apiserver") / "build.sh"
EVERY_VALUE = (
    "--set=gateway.autoscaling.enabled=true",
    "--set=kubernetesAttributes.enabled=true",
    "--set=logs.enabled=true",
    "--set=service.ipFamilyPolicy=PreferDualStack",
    '--set-json=service.ipFamilies=["IPv6","IPv4"]',
    "--set=agent.priorityClassName=system-node-critical",
)  # fmt: skip


def validation(version: str) -> str:
    is_there = any((ROOT / ".cache" / "kubernetes").glob(f"{version}-*"))
    wanted = version in ALWAYS and os.environ.get("REQUIRE_REAL") == "1"
    if not (is_there or wanted or os.environ.get("KUBERNETES") == "all"):
        pytest.skip(f"the validation of {version} is not built: make kubernetes")
    return built(BUILD, version)


def judged(program: str, objects: list) -> list[str]:
    """What the API server says of those objects that are Kubernetes' own."""
    own = [item for item in objects if item["kind"] not in OF_OPERATORS]
    for item in own:
        if item["kind"] not in {"Namespace", "ClusterRole", "ClusterRoleBinding"}:
            item["metadata"].setdefault("namespace", "slotel")
    run = run_kept([program], given=json.dumps(own))
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_server_takes_what_kustomize_and_the_chart_create(version):
    program = validation(version)
    assert [line for line in judged(program, kustomize()) if line != NEWER_WORD] == []
    assert judged(program, helm(version=version)) == []
    assert judged(program, helm(*EVERY_VALUE, version=version)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_server_takes_what_the_page_on_kubernetes_shows(version):
    """Its Deployment is asked about as a StatefulSet, whose validation is built: what can be wrong is the pod."""
    [block] = [each for each in blocks_of(ROOT / "docs/how-to/kubernetes.md") if each.language == "yaml"]
    deployment = YAML(typ="safe").load(block.text)
    deployment["kind"] = "StatefulSet"
    deployment["spec"]["serviceName"] = "checkout"
    assert judged(validation(version), [deployment]) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_it_refuses_what_this_version_refuses(version):
    """The oracle at work: a word that some versions refuse, and a field that none knows.

    1.30 has the field behind a gate that is off, and drops it; the word is known from 1.34 on.
    """
    program = validation(version)
    objects = kustomize()
    [service] = [
        item for item in objects if item["kind"] == "Service" and item["metadata"]["name"] == "otel-agent"
    ]
    service["spec"]["trafficDistribution"] = "PreferSameNode"
    said = judged(program, [service])
    assert bool(said) == version.startswith(("1.31.", "1.32.", "1.33.")), said
    service["spec"] |= {"trafficDistribution": "PreferClose", "unheardOf": 1}
    assert any("unheardOf" in line for line in judged(program, [service]))
