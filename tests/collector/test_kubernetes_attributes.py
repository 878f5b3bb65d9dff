"""collector/kubernetes.yaml: the names of the pod that sends. The API server is a double that serves one node's pods."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest

from support.launch import wait_until
from support.otelcol import WITHOUT_POLICY, Collector
from support.otlp import OtlpSink, Sent, counter_request, post, request

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{}}}}]
current-context: c
"""
POD = {
    "metadata": {
        "name": "cart-5d4f8c7b9d-x2x4z",
        "namespace": "shop",
        "uid": "7f0c4a1e-0000-4000-8000-000000000001",
        "labels": {"pod-template-hash": "5d4f8c7b9d"},
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "cart-5d4f8c7b9d",
                "uid": "u",
                "controller": True,
            }
        ],
    },
    "spec": {"nodeName": "node-1", "containers": []},
    "status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]},
}
NAMES = {
    "k8s.namespace.name": "shop",
    "k8s.pod.name": "cart-5d4f8c7b9d-x2x4z",
    "k8s.pod.uid": POD["metadata"]["uid"],
    "k8s.node.name": "node-1",
    "k8s.deployment.name": "cart",
}


@pytest.fixture
def api_server():
    """What it was asked for, and its port."""
    asked = []
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            url = urlparse(self.path)
            query = parse_qs(url.query)
            asked.append((url.path, query.get("fieldSelector", [""])[0]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if "watch" in query:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if query.get("sendInitialEvents") == ["true"]:
                    bookmark = {"kind": "Pod", "apiVersion": "v1", "metadata": {
                        "resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}}  # fmt: skip
                    self._event("ADDED", {"kind": "Pod", "apiVersion": "v1", **POD})
                    self._event("BOOKMARK", bookmark)
                ended.wait(60)
                return
            kind = "PodList" if url.path.endswith("/pods") else "List"
            items = [POD] if url.path.endswith("/pods") else []
            body = json.dumps(
                {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def _event(self, kind, item):
            line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield asked, server.server_port
    ended.set()
    server.shutdown()
    server.server_close()


def test_spans_and_metrics_get_the_names_of_the_pod_that_sent_them(otelcol, api_server, tmp_path):
    asked, port = api_server
    (tmp_path / "kubeconfig").write_text(KUBECONFIG.format(port=port))
    (tmp_path / "here.yaml").write_text("processors: {k8s_attributes: {auth_type: kubeConfig}}\n")
    with OtlpSink() as sink:
        env = {
            "GATEWAY_RESOLVER": "{static: {hostnames: ['127.0.0.1:1']}}",
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
            "OTELCOL_NAME": "node-1",
            "SENTRY_OTLP_TRACES_URL": sink.url,
            "SENTRY_PUBLIC_KEY": "public",
        }
        files = ("agent.yaml", "kubernetes.yaml", tmp_path / "here.yaml", WITHOUT_POLICY)
        with Collector(otelcol, tmp_path / "state", *files, env=env) as running:
            wait_until(lambda: any(path == "/api/v1/pods" for path, _ in asked), "it asks for pods")

            def named():
                assert post(running.otlp, request([Sent()])) == 200
                body = counter_request("enriched", 1, {"service.name": "cart"})
                assert post(running.otlp, body, path="/v1/metrics") == 200
                return running.samples("enriched_total", instance=POD["metadata"]["uid"])

            wait_until(named, "the pod's uid tells its metrics from another pod's")
            [(labels, _)] = running.samples("target_info", instance=POD["metadata"]["uid"])
            assert {key: labels[key.replace(".", "_")] for key in NAMES} == NAMES
    assert {path for path, _ in asked} == {"/api/v1/pods"}, "no right is needed but to watch pods"
    assert {selector for _, selector in asked} == {"spec.nodeName=node-1"}
