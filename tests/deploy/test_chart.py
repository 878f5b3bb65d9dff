"""deploy/helm: renders what kustomize gives, and each value where it belongs; linted by Helm itself."""

import pytest
from ruamel.yaml import YAML

from support.gotool import go_tool
from support.kept import run_kept
from support.otelcol import CONFIGS
from support.rendered import CHART, HELM, comparable, helm, kustomize


def one(objects, kind, name):
    return comparable(objects)[kind, name]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def test_the_chart_renders_what_kustomize_gives():
    left, right = comparable(helm()), comparable(kustomize())
    assert left.keys() == right.keys()
    for key, item in right.items():
        left[key]["metadata"].pop("labels", None), item["metadata"].pop("labels", None)
        assert left[key] == item, key


def test_helm_lints_the_chart():
    run = run_kept([go_tool(HELM), "lint", "--strict", str(CHART)])
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_chart_has_the_collectors_version():
    version = YAML(typ="safe").load((CONFIGS / "builder.yaml").read_text())["dist"]["version"]
    chart = YAML(typ="safe").load((CHART / "Chart.yaml").read_text())
    values = YAML(typ="safe").load((CHART / "values.yaml").read_text())
    assert chart["appVersion"] == values["image"]["tag"] == version


def test_every_link_leads_to_a_file_of_the_repository():
    links = list((CHART / "files").iterdir())
    assert links
    assert all(link.is_symlink() and link.resolve().parent == CONFIGS for link in links)


@pytest.mark.parametrize(
    ("version", "spread"), [("1.30.0", "PreferClose"), ("1.33.9", "PreferClose"), ("1.34.0", "PreferSameNode"),
                            ("1.37.2", "PreferSameNode")]
)  # fmt: skip
def test_the_nearest_agent_is_asked_for_in_the_words_of_the_version(version, spread):
    service = one(helm(version=version), "Service", "otel-agent")
    assert service["spec"]["trafficDistribution"] == spread


def test_a_version_that_is_too_old_is_refused():
    with pytest.raises(AssertionError, match="incompatible with Kubernetes"):
        helm(version="1.29.0")


def test_each_value_is_where_it_belongs():
    digest = f"sha256:{'ab' * 32}"
    objects = helm(
        f"--set=image.digest={digest}",
        "--set=agent.memoryMiB=800",
        "--set=agent.priorityClassName=system-node-critical",
        "--set=agent.nodeSelector.pool=apps",
        "--set=gateway.storage.className=fast",
        "--set=gateway.storage.size=20Gi",
        '--set-json=gateway.tolerations=[{"operator":"Exists"}]',
        "--set=sentry.existingSecret=mine",
        "--set=service.ipFamilyPolicy=PreferDualStack",
        '--set-json=service.ipFamilies=["IPv6","IPv4"]',
        "--set=monitors.labels.release=kube-prometheus-stack",
        "--set=clusterDomain=corp.example",
        '--set-json=networkPolicy.otlpFrom=[{"ipBlock":{"cidr":"10.0.0.0/8"}}]',
        '--set-json=agent.env=[{"name":"SPAN_METRICS_LIMIT","value":"5000"}]',
    )  # fmt: skip
    agent, gateway = one(objects, "DaemonSet", "otel-agent"), one(objects, "StatefulSet", "otel-gateway")
    variables = {item["name"]: item.get("value") for item in pod(agent)["containers"][0]["env"]}
    assert pod(agent)["containers"][0]["image"].endswith(f"@{digest}")
    assert (variables["OTELCOL_MEMORY_MIB"], variables["SPAN_METRICS_LIMIT"]) == ("800", "5000")
    assert ".svc.corp.example" in variables["GATEWAY_RESOLVER"]
    assert pod(agent)["priorityClassName"] == "system-node-critical"
    assert pod(agent)["nodeSelector"] == {"pool": "apps"}
    assert pod(gateway)["tolerations"] == [{"operator": "Exists"}]
    [claim] = gateway["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    secrets = [
        item["valueFrom"]["secretKeyRef"]["name"]
        for item in pod(gateway)["containers"][0]["env"]
        if "secretKeyRef" in item.get("valueFrom", {})
    ]
    assert secrets == ["mine", "mine"]
    for name in ("otel-agent", "otel-gateway-headless"):
        spec = one(objects, "Service", name)["spec"]
        assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("PreferDualStack", ["IPv6", "IPv4"])
    for kind, name in (("PodMonitor", "otel-agent"), ("ServiceMonitor", "otel-gateway"), ("PodMonitor", "slotel-services"),
                       ("PrometheusRule", "slotel-collector")):  # fmt: skip
        assert one(objects, kind, name)["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    ingress = one(objects, "NetworkPolicy", "otel-agent")["spec"]["ingress"]
    assert ingress[0]["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


def test_with_autoscaling_the_number_of_gateways_is_the_autoscalers():
    objects = helm("--set=gateway.autoscaling.enabled=true")
    assert "replicas" not in one(objects, "StatefulSet", "otel-gateway")["spec"]
    scaler = one(objects, "HorizontalPodAutoscaler", "otel-gateway")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "otel-gateway"
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 3600


def test_sampling_by_route_is_a_file_of_the_gateways():
    objects = helm('--set-json=sampling="processors: {}"')
    gateway = one(objects, "StatefulSet", "otel-gateway")
    arguments = pod(gateway)["containers"][0]["args"]
    assert arguments == ["--config=/etc/otelcol/gateway.yaml", "--config=/etc/otelcol/sampling.yaml"]
    assert one(objects, "ConfigMap", "otel-gateway")["data"]["sampling.yaml"].strip() == "processors: {}"


def test_logs_and_kubernetes_attributes_bring_their_files_and_rights():
    objects = helm("--set=logs.enabled=true", "--set=kubernetesAttributes.enabled=true")
    agent, gateway = one(objects, "DaemonSet", "otel-agent"), one(objects, "StatefulSet", "otel-gateway")
    files = [argument.rsplit("/", 1)[1] for argument in pod(agent)["containers"][0]["args"]]
    assert files == ["agent.yaml", "policy.yaml", "kubernetes.yaml", "agent-logs.yaml"]
    maps = [one(objects, "ConfigMap", name)["data"] for name in ("otel-agent", "otel-agent-policy")]
    assert set(files) <= {name for data in maps for name in data}
    assert pod(agent)["automountServiceAccountToken"] is True
    binding = one(objects, "ClusterRoleBinding", "otel-agent-slotel")
    assert binding["subjects"][0]["name"] == pod(agent)["serviceAccountName"]
    files = [argument.rsplit("/", 1)[1] for argument in pod(gateway)["containers"][0]["args"]]
    assert files == ["gateway.yaml", "gateway-logs.yaml"]
    variables = {item["name"] for item in pod(gateway)["containers"][0]["env"]}
    assert "SENTRY_OTLP_LOGS_URL" in variables
