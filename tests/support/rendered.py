"""What the two ways into a cluster render: `kubectl kustomize` and `helm template`; each is asked once for the same."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from typing import Any

from ruamel.yaml import YAML

from support.gotool import go_tool
from support.kept import run_kept
from support.otelcol import CONFIGS, ROOT
from support.real import require_real

KUSTOMIZATION = ROOT / "deploy/kubernetes"
CHART = ROOT / "deploy/helm/slotel-collector"
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
OF_OPERATORS = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "Instrumentation"}


def kustomize() -> list[Any]:
    """The kustomization's objects; the caller may change them."""
    return deepcopy(_kustomized())


@cache
def _kustomized() -> list[Any]:
    command = [require_real("kubectl"), "kustomize", "--load-restrictor", "LoadRestrictionsNone"]
    run = run_kept([*command, str(KUSTOMIZATION)], CONFIGS)
    assert run.returncode == 0, run.stderr
    return list(YAML(typ="safe").load_all(run.stdout))


def helm(*arguments: str, version: str = "1.33.0") -> list[Any]:
    """The chart's objects for a version of Kubernetes, with this repository's policy; the caller may change them."""
    return deepcopy(_templated(arguments, version))


@cache
def _templated(arguments: tuple[str, ...], version: str) -> list[Any]:
    fixed = (
        "--namespace=slotel",
        f"--kube-version={version}",
        f"--set-file=policy={CONFIGS / 'policy.yaml'}",
    )
    run = run_kept([go_tool(HELM), "template", "slotel", str(CHART), *fixed, *arguments])
    assert run.returncode == 0, run.stderr
    return [item for item in YAML(typ="safe").load_all(run.stdout) if item]


def comparable(objects: list[Any]) -> dict[tuple[str, str], Any]:
    """The objects by kind and name, without what differs by design: the namespace's own object and names with a hash."""
    text_of_hash = re.compile(r"^(otel-(?:agent|agent-policy|gateway))-[a-z0-9]{10}$")

    def plain(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: plain(value)
                for key, value in node.items()
                if not (key == "namespace" and value == "slotel")
                and not (key == "annotations" and "checksum/config" in (value or {}))
            }
        if isinstance(node, list):
            return [plain(item) for item in node]
        return text_of_hash.sub(r"\1", node) if isinstance(node, str) else node

    return {
        (item["kind"], item["metadata"]["name"]): item
        for item in map(plain, objects)
        if item["kind"] != "Namespace"
    }
