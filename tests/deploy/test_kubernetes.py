"""deploy/kubernetes, as far as a machine without a cluster can check it: rendered, held to schemas, every reference followed."""

import json
import os
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from slotel.compile.collector.policy import policy_file
from slotel.config.service import Service
from slotel.config.tags import TagPolicy, TagRule
from support.kept import run_kept
from support.otelcol import CONFIGS, ROOT, WITHOUT_POLICY, Collector
from support.otlp import Sent, post, request
from support.real import require_real
from support.rendered import OF_OPERATORS, kustomize

FOLDER = ROOT / "deploy/kubernetes"
SCHEMAS = "@kubernetes-models/prometheus-operator@6.0.0"
CHECK = """
import * as models from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { readFileSync } from "node:fs";
for (const found of JSON.parse(readFileSync(0))) {
  try { new models[found.kind](found).validate(); console.log("ok"); }
  catch (error) { console.log(found.kind, found.metadata.name, error.message); }
}
"""


@pytest.fixture(scope="module")
def objects():
    return kustomize()


def one(objects, kind, name):
    [found] = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def container(workload):
    return pod(workload)["containers"][0]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def workloads(objects):
    return [one(objects, "DaemonSet", "otel-agent"), one(objects, "StatefulSet", "otel-gateway")]


def environ(workload):
    return {item["name"]: item.get("value") for item in container(workload)["env"]}


def ports(workload):
    return {port["name"]: port["containerPort"] for port in container(workload)["ports"]}


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_every_object_of_kubernetes_itself_passes_its_schema_and_no_field_is_unknown(objects):
    of_kubernetes = [item for item in objects if item["kind"] not in OF_OPERATORS]
    assert len(of_kubernetes) == 13
    for item in of_kubernetes:
        kubernetes_validate.validate(json.loads(json.dumps(item)), "1.37", strict=True)


def test_every_object_of_the_prometheus_operator_passes_its_schema(objects, tmp_path_factory):
    folder = ROOT / ".cache" / "kubernetes-schemas"
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [require_real("npm"), "install", "--silent", "--no-audit", "--no-fund", SCHEMAS],
            cwd=folder,
            check=True,
            timeout=300,
        )
    (folder / "check.mjs").write_text(CHECK)
    items = [item for item in objects if item["apiVersion"] == "monitoring.coreos.com/v1"]
    run = subprocess.run(
        [require_real("node"), "check.mjs"],
        cwd=folder,
        input=json.dumps(items),
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert (run.stdout.split("\n")[:-1], run.stderr) == (["ok"] * 4, "")


def test_the_instrumentation_resource_has_the_fields_that_the_operator_reads(objects):
    """There is no schema for it here: its fields are held to the operator's documentation by hand."""
    spec = one(objects, "Instrumentation", "slotel")["spec"]
    assert set(spec) == {"exporter", "propagators", "sampler", "python"}
    assert set(spec["python"]) <= {"image", "env", "volumeLimitSize", "resourceRequirements"}
    assert set(spec["propagators"]) <= {
        "tracecontext",
        "baggage",
        "b3",
        "b3multi",
        "jaeger",
        "xray",
        "ottrace",
        "none",
    }
    host, port = re.fullmatch(r"http://([a-z-]+)\.slotel:(\d+)", spec["exporter"]["endpoint"]).groups()
    assert int(port) in [item["port"] for item in one(objects, "Service", host)["spec"]["ports"]]
    variables = {item["name"]: item["value"] for item in spec["python"]["env"]}
    assert variables["OTEL_PYTHON_DISTRO"] == variables["OTEL_PYTHON_CONFIGURATOR"] == "slotel"
    scraped = (FOLDER / "monitoring.yaml").read_text()
    assert f'"$1:{variables["OTEL_EXPORTER_PROMETHEUS_PORT"]}"' in scraped


def test_every_reference_between_objects_leads_somewhere(objects):
    for workload in workloads(objects):
        spec = pod(workload)
        one(objects, "ServiceAccount", spec["serviceAccountName"])
        names = {volume["name"] for volume in spec["volumes"]}
        names |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        assert {mount["name"] for mount in container(workload)["volumeMounts"]} == names
        for volume in spec["volumes"]:
            if volume["name"] == "config":
                sources = volume["projected"]["sources"] if "projected" in volume else [volume]
                maps = [one(objects, "ConfigMap", each["configMap"]["name"])["data"] for each in sources]
                files = [argument.rsplit("/", 1)[1] for argument in container(workload)["args"]]
                assert sorted([*files, "queues.sh"]) == sorted(name for data in maps for name in data)
        for first in spec["initContainers"]:
            assert {mount["name"] for mount in first["volumeMounts"]} <= names
            if "queues.sh" in str(first["command"]):
                assert first["command"] == ["sh", "/etc/otelcol/queues.sh", "/var/lib/otelcol"]
        assert environ(workload)["OTELCOL_SET_ASIDE"] == "/var/lib/otelcol/set-aside"
        assert container(workload)["readinessProbe"]["httpGet"]["port"] in ports(workload)
    one(objects, "Service", one(objects, "StatefulSet", "otel-gateway")["spec"]["serviceName"])


def test_the_policy_of_a_hundred_services_fits_into_its_object(objects):
    """A ConfigMap takes 1 MiB; the agent's own file is half of that."""
    tags = TagPolicy(
        set={"region": "eu-west-1"},
        required={
            "team": TagRule(default="payments"),
            "tier": TagRule(allowed=("free", "pro", "enterprise"), default="free"),
            "tenant": TagRule(pattern="[a-z0-9-]{1,40}"),
        },
        metric_labels=("team", "tier"),
    )
    policy = policy_file([Service(f"service-number-{number}", tags) for number in range(100)], "a test")
    [data] = [
        item["data"] for item in objects if item["kind"] == "ConfigMap" and "agent.yaml" in item["data"]
    ]
    assert "policy.yaml" not in data
    for text in (policy, "".join(data.values())):
        assert len(text.encode()) < 2**20


def test_every_port_that_is_named_is_a_port_of_the_pods_that_are_meant(objects):
    by_app = {workload["metadata"]["name"]: ports(workload) for workload in workloads(objects)}
    for item in objects:
        spec = item.get("spec", {})
        app = (spec.get("selector") or {}).get("app") or (spec.get("podSelector") or {}).get(
            "matchLabels", {}
        ).get("app")
        if item["kind"] == "Service":
            assert all(port["targetPort"] in by_app[app] for port in spec["ports"])
        if item["kind"] == "NetworkPolicy":
            assert all(port["port"] in by_app[app] for rule in spec["ingress"] for port in rule["ports"])
    agents = one(objects, "PodMonitor", "otel-agent")["spec"]["podMetricsEndpoints"]
    assert {endpoint["port"] for endpoint in agents} <= set(by_app["otel-agent"])
    gateways = one(objects, "ServiceMonitor", "otel-gateway")["spec"]["endpoints"]
    named = {port["name"] for port in one(objects, "Service", "otel-gateway-headless")["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in gateways} <= named


def test_the_agents_find_the_gateways_by_their_headless_service(objects):
    agent, gateway = workloads(objects)
    resolver = YAML(typ="safe").load(environ(agent)["GATEWAY_RESOLVER"])["dns"]
    service = one(objects, "Service", resolver["hostname"].split(".")[0])
    assert service["spec"]["clusterIP"] == "None"
    assert resolver["port"] == str(ports(gateway)["otlp-grpc"])
    [allowed] = [
        rule for rule in one(objects, "NetworkPolicy", "otel-agent")["spec"]["egress"] if "to" in rule
    ]
    assert str(allowed["ports"][0]["port"]) == resolver["port"]


def test_one_variable_is_the_memory_of_the_limiter_and_of_go_and_it_is_under_the_pods(objects):
    for workload in workloads(objects):
        limit = container(workload)["resources"]["limits"]["memory"]
        most = int(limit[:-2]) * (1024 if limit.endswith("Gi") else 1)
        assert environ(workload)["GOMEMLIMIT"] == "$(OTELCOL_MEMORY_MIB)MiB"
        assert 0.7 * most <= int(environ(workload)["OTELCOL_MEMORY_MIB"]) <= 0.8 * most


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_pod_listens_at_its_address_whether_it_is_ipv4_or_ipv6(otelcol, objects, tmp_path, address):
    if address == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    for workload, config in zip(workloads(objects), ("agent.yaml", "gateway.yaml"), strict=True):
        variables = environ(workload)
        assert [item["name"] for item in container(workload)["env"]][:2] == ["POD_IP", "OTELCOL_HOST"]
        host = variables["OTELCOL_HOST"].replace("$(POD_IP)", address)
        env = {"OTELCOL_HOST": host, "GATEWAY_RESOLVER": "{static: {hostnames: ['[::1]:4317']}}"}
        asked = f"[{address}]" if ":" in address else address
        files = [config] if config == "gateway.yaml" else [config, WITHOUT_POLICY]
        with Collector(otelcol, tmp_path / config, *files, env=env, address=asked) as running:
            assert post(running.otlp, request([Sent()])) == 200
            assert running.metric("otelcol_receiver_accepted_spans_total", own=True) == 1


def test_five_thousand_agents_are_replaced_within_hours(objects):
    agent = one(objects, "DaemonSet", "otel-agent")
    share = int(agent["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].removesuffix("%")) / 100
    most = pod(agent)["terminationGracePeriodSeconds"] + 60  # and its start
    assert most / share < 2 * 3600


def test_dns_is_allowed_wherever_a_cluster_has_it(objects):
    for name in ("otel-agent", "otel-gateway"):
        egress = one(objects, "NetworkPolicy", name)["spec"]["egress"]
        anywhere = [port for rule in egress if "to" not in rule for port in rule["ports"]]
        for number in (53, 5353):
            assert {p["protocol"] for p in anywhere if p["port"] == number} == {"UDP", "TCP"}


def test_an_agent_that_ends_is_scraped_twice_after_its_last_span_and_may_finish_its_batches(objects):
    agent = YAML(typ="safe").load((CONFIGS / "agent.yaml").read_text())
    spec = pod(one(objects, "DaemonSet", "otel-agent"))
    flush = seconds(re.search(r":-(\w+)\}", agent["connectors"]["span_metrics"]["metrics_flush_interval"])[1])
    scrape = seconds(one(objects, "PodMonitor", "otel-agent")["spec"]["podMetricsEndpoints"][0]["interval"])
    drain = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain >= flush + 2 * scrape
    assert spec["terminationGracePeriodSeconds"] >= drain + seconds(
        agent["exporters"]["load_balancing"]["timeout"]
    )


def test_a_gateway_that_ends_answers_until_every_agent_knows_that_it_goes(objects):
    """The DNS resolver asks every 5 seconds, and cluster DNS keeps an answer for 30 at most."""
    gateway = pod(one(objects, "StatefulSet", "otel-gateway"))
    drain = gateway["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain >= 5 + 30
    assert gateway["terminationGracePeriodSeconds"] >= drain + 30  # and writes what it holds to its queue


def test_the_queue_and_its_compaction_fit_into_the_gateways_volume(objects):
    gateway = one(objects, "StatefulSet", "otel-gateway")
    claim = gateway["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    assert 2 * int(environ(gateway)["OTELCOL_QUEUE_BYTES"]) <= int(claim.removesuffix("Gi")) * 2**30


def test_what_reads_from_the_network_does_not_run_as_root_and_can_write_to_its_queue_alone(objects):
    for workload in workloads(objects):
        confined = {**pod(workload)["securityContext"], **container(workload)["securityContext"]}
        assert confined["runAsNonRoot"]
        assert confined["runAsUser"] == 10001
        assert confined["seccompProfile"] == {"type": "RuntimeDefault"}
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        writable = [m["name"] for m in container(workload)["volumeMounts"] if not m.get("readOnly")]
        assert writable == ["queue"]
    agent = workloads(objects)[0]
    owner, queues = pod(agent)["initContainers"]
    assert queues["securityContext"]["runAsUser"] == 10001
    assert owner["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert owner["command"] == ["chown", "10001:10001", environ(agent)["OTELCOL_STATE"]]
    assert owner["volumeMounts"][0] in container(agent)["volumeMounts"]


def test_every_image_is_pinned(objects):
    images = [container(workload)["image"] for workload in workloads(objects)]
    images += [item["image"] for item in pod(workloads(objects)[0])["initContainers"]]
    images.append(one(objects, "Instrumentation", "slotel")["spec"]["python"]["image"])
    assert all(re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", image) for image in images)
    version = YAML(typ="safe").load((CONFIGS / "builder.yaml").read_text())["dist"]["version"]
    assert images[0].endswith(f":{version}")


def test_the_rules_of_the_cluster_are_those_of_the_repository(objects):
    rules = YAML(typ="safe").load((CONFIGS / "alerts.yaml").read_text())
    assert one(objects, "PrometheusRule", "slotel-collector")["spec"] == rules


@pytest.mark.parametrize("index", [0, 1], ids=["agent", "gateway"])
def test_the_collector_takes_the_files_and_variables_that_its_pod_gives_it(otelcol, objects, tmp_path, index):
    workload = workloads(objects)[index]
    arguments = [argument.replace("/etc/otelcol", str(CONFIGS)) for argument in container(workload)["args"]]
    given = {name: value or "127.0.0.1" for name, value in environ(workload).items()}
    given = {
        name: re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], value) for name, value in given.items()
    }
    (tmp_path / "set-aside").write_text("0 broken\n")
    given |= {"HOME": "/", "OTELCOL_SET_ASIDE": str(tmp_path / "set-aside")}
    given |= {"SENTRY_OTLP_TRACES_URL": "https://sentry.example/x", "OTELCOL_STATE": str(tmp_path)}
    if index == 0:
        del given["SENTRY_OTLP_TRACES_URL"]
    given["PATH"] = os.environ["PATH"]
    run = run_kept([otelcol, "validate", *arguments], tmp_path, env=given, elsewhere=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
