"""Linters of others over what kustomize and the chart create: kube-score's rules, and kubeconform with Kubernetes' own schemas.

kubeconform's published schemas are not asked for: those of the API server's source (its OpenAPI document) say the same, strictly.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.gotool import go_tool
from support.kept import run_kept
from support.real import require_real
from support.rendered import OF_OPERATORS, helm, kustomize

KUBE_SCORE = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
KUBERNETES = "1.37.2"
RENDERED = {"kustomize": kustomize, "the chart": helm}
GOOD = 7
"""kube-score's grade from which on it has nothing to say."""

ACCEPTED = {
    "container-image-pull-policy": "a version or a digest names the image: to pull it again brings the same",
    "container-ephemeral-storage-request-and-limit": "what is written goes to mounted volumes, which have sizes of their own",
    "pod-probes-identical": "the collector has one health endpoint; liveness asks three times less often, and later",
    "container-resources": "no limit of CPU: a throttled agent delays the telemetry of its node; memory has limits",
    "container-security-context-user-group-id": "one init container is root for as long as it gives the host's folder away",
    "statefulset-has-host-podantiaffinity": "topologySpreadConstraints spread the gateways, and do not keep one from starting",
}
"""What kube-score would have otherwise, and why it stays."""


def as_yaml(objects: list[Any]) -> str:
    """The objects that are Kubernetes' own as documents of YAML, for which JSON is valid, too."""
    return "".join(f"---\n{json.dumps(item)}\n" for item in objects if item["kind"] not in OF_OPERATORS)


@pytest.mark.parametrize("rendered", RENDERED.values(), ids=RENDERED)
def test_kube_score_has_nothing_to_say_but_what_is_accepted_with_its_reason(rendered):
    run = run_kept([go_tool(KUBE_SCORE), "score", "--output-format=json", "-"], given=as_yaml(rendered()))
    judged = json.loads(run.stdout)
    said = {
        check["check"]["id"]
        for each in judged
        for check in each["checks"]
        if check["grade"] < GOOD and not check["skipped"]
    }
    assert len(judged) >= 5, "it looked at nothing"
    assert said == ACCEPTED.keys()


@pytest.fixture(scope="module")
def schemas(tmp_path_factory) -> Path:
    """A folder of one schema for each kind, of the OpenAPI document in the API server's module."""
    go_tool(KUBECONFORM)  # who has not built it downloads nothing
    go = require_real("go")
    run = subprocess.run(
        [go, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"],
        capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    document = json.loads(
        (Path(json.loads(run.stdout)["Dir"]) / "api/openapi-spec/swagger.json").read_text(encoding="utf-8")
    )
    folder = tmp_path_factory.mktemp("schemas")
    definitions = {name: strict(schema) for name, schema in document["definitions"].items()}
    (folder / "definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, schema in document["definitions"].items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].partition(".")[0]
            parts = [kind["kind"].lower(), *([group] if group else []), kind["version"]]
            reference = {"$ref": f"{(folder / 'definitions.json').as_uri()}#/definitions/{name}"}
            (folder / f"{'-'.join(parts)}.json").write_text(json.dumps(reference))
    return folder


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that takes no property which it does not name, and either form of a port or a quantity."""
    if schema.get("format") == "int-or-string" or schema.get("description", "").startswith("Quantity is"):
        return {"type": ["string", "number"]}
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def conforms(objects: list[Any], schemas: Path) -> list[dict[str, Any]]:
    run = subprocess.run(
        [
            go_tool(KUBECONFORM), "-output=json", "-verbose",
            f"-schema-location={schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        ],
        input=as_yaml(objects), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return json.loads(run.stdout)["resources"]


@pytest.mark.parametrize("rendered", RENDERED.values(), ids=RENDERED)
def test_every_object_conforms_to_the_schema_of_its_kind(rendered, schemas):
    found = conforms(rendered(), schemas)
    assert len(found) >= 8
    assert [each for each in found if each["status"] != "statusValid"] == []


def test_a_misspelt_field_does_not_conform(schemas):
    objects = kustomize()
    [agent] = [item for item in objects if item["kind"] == "DaemonSet"]
    agent["spec"]["template"]["spec"]["hostNetwrk"] = True
    statuses = {each["kind"]: each["status"] for each in conforms(objects, schemas)}
    assert statuses["DaemonSet"] == "statusInvalid"
