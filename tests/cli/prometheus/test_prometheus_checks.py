"""`slotel doctor --prometheus URL` on a real Prometheus: what the generated rules need, and what is missing of it."""

import http.server
import re
import threading
from contextlib import contextmanager

import pytest

from slotel.cli.generate import compile_all
from slotel.cli.prometheus.checks import check_prometheus
from slotel.config.foreign.formats import read_any
from support import services
from support.launch import wait_until
from support.prom import Prometheus

SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: fast
    objective: 95
    sli:
      events:
        error_query: sum(rate(d_seconds_count[{{.window}}])) - sum(rate(d_seconds_bucket{le="0.5"}[{{.window}}]))
        total_query: sum(rate(d_seconds_count[{{.window}}]))
"""
METRICS = b"""\
# TYPE d_seconds histogram
d_seconds_bucket{le="0.25"} 3
d_seconds_bucket{le="1"} 4
d_seconds_bucket{le="+Inf"} 5
d_seconds_count 5
d_seconds_sum 5
"""


@contextmanager
def target(metrics=METRICS):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header(
                "Content-Type", "text/plain; version=0.0.4"
            )  # without it Prometheus 3 takes nothing
            self.end_headers()
            self.wfile.write(metrics)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def codes(findings):
    return {finding.code for finding in findings if finding.status in {"warn", "fail"}}


@pytest.mark.real
def test_a_prometheus_without_the_rules_and_the_edge_is_told_so(tmp_path):
    service = read_any({}, SLOTH, "slo.yaml").service
    rules = tmp_path / "rules.yaml"
    rules.write_text(compile_all(service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"])
    with target() as address, Prometheus(tmp_path / "without", {"d": [address]}) as prometheus:
        wait_until(
            lambda: prometheus.value('count(d_seconds_bucket{le="1"})') == 1, "the histogram is scraped", 60
        )
        wait_until(
            lambda: "SLO166" in codes(check_prometheus(service, prometheus.url)), "two scrapes are there", 60
        )
        found = list(check_prometheus(service, prometheus.url))
    assert codes(found) == {"SLO163", "SLO166", "SLO167"}
    (edge,) = [finding for finding in found if finding.code == "SLO166"]
    assert edge.text == "'fast': no series d_seconds_bucket{le=\"0.5\"}"
    assert edge.fix == "take one of the edges 0.25, 1"
    with Prometheus(tmp_path / "with", {}, [rules]) as prometheus:
        found = list(check_prometheus(service, prometheus.url))
    assert codes(found) == {"SLO165", "SLO167"}
    assert sum("none fails" in finding.text for finding in found) == 2


@pytest.mark.real
def test_rules_of_an_older_configuration_are_told_so(tmp_path):
    old, new = services.one(), services.one("objective: 99%, latency: 1s")
    lower, described = services.one("objective: 98%"), services.one("objective: 99%, window: 2h")
    rules = tmp_path / "rules.yaml"
    rules.write_text(compile_all(old, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"])
    both = services.service(
        "service: shop\nslos:\n  - {name: availability, objective: 99%}\n  - {name: b, objective: 90%}\n"
    )
    with Prometheus(tmp_path / "prom", {}, [rules]) as prometheus:
        assert "SLO163" not in codes(check_prometheus(new, prometheus.url))
        for other in (both, lower, described):  # also where every rule has the name that it had
            assert "SLO163" in codes(check_prometheus(other, prometheus.url))


@pytest.mark.real
def test_a_prometheus_that_holds_two_environments_has_the_rules_of_both(tmp_path):
    both = [
        services.one(more=f"monitoring: {{match: {{environment: {environment}}}}}\n")
        for environment in ("production", "staging")
    ]
    files = []
    for index, service in enumerate(both):
        files.append(tmp_path / f"{index}.yaml")
        files[-1].write_text(
            compile_all(service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"]
        )
    with Prometheus(tmp_path / "prom", {}, files) as prometheus:
        for service in both:
            found = list(check_prometheus(service, prometheus.url))
            assert not {"SLO163", "SLO164"} & codes(found)
            assert sum("none fails" in finding.text for finding in found) == 2


@pytest.mark.real
def test_a_label_of_match_that_is_an_external_label_is_named(tmp_path):
    """No rule sees it: the objective counts nothing, and only the store behind remote write has the label."""
    metrics = b"""# TYPE slo_events_total counter
slo_events_total{service_name="shop",slo_name="availability",slo_outcome="good"} 5
"""
    match = "monitoring: {match: {job: web, environment: production}}\n"
    labels = {"environment": "production"}
    with (
        target(metrics) as address,
        Prometheus(tmp_path / "prom", {"web": [address]}, external_labels=labels) as prometheus,
    ):
        wait_until(lambda: prometheus.value("count(slo_events_total)") == 1, "the counter is scraped", 60)
        found = list(check_prometheus(services.one(more=match), prometheus.url))
    (finding,) = [each for each in found if each.code == "SLO165"]
    assert finding.text.endswith(', but there are such series without environment="production"')
    assert "external_labels" in finding.fix


@pytest.mark.real
def test_services_of_one_name_in_two_namespaces_are_named(tmp_path):
    """Their events are one budget, unless `monitoring.match` tells them apart."""
    metrics = b"# TYPE slo_events_total counter\n" + b"".join(
        b'slo_events_total{service_name="shop",slo_name="availability",slo_outcome="good",namespace="%s"} 5\n'
        % name
        for name in (b"green", b"blue")
    )
    with target(metrics) as address, Prometheus(tmp_path / "prom", {"web": [address]}) as prometheus:
        wait_until(lambda: prometheus.value("count(slo_events_total)") == 2, "the counters are scraped", 60)
        texts = {}
        for more in ("", "monitoring: {match: {namespace: blue}}\n"):
            found = list(check_prometheus(services.one(more=more), prometheus.url))
            texts[more] = [each.text for each in found if "share one budget" in each.text]
    assert list(texts.values()) == [
        ["'availability': events of 2 values of namespace (blue, green) share one budget"],
        [],
    ]


@pytest.mark.real
def test_series_of_two_replicas_and_records_of_other_rules_are_named(tmp_path):
    """Two instances are no replicas, and one environment's records are not another's."""
    series = (
        'slo_events_total{service_name="shop",slo_name="availability",slo_outcome="good",instance="%s"%s} 5'
    )
    budget = 'slo:error_budget:ratio{service="shop",slo="availability"%s} 0.01'
    kinds = {
        "well": [series % ("a", ""), series % ("b", ""), budget % ""],
        "replicas": [series % ("a", f',replica="{name}"') for name in "xy"],
        "records": [series % ("a", ""), budget % "", budget % ',cluster="a"'],
    }
    found = {}
    for kind, lines in kinds.items():
        with (
            target("\n".join([*lines, ""]).encode()) as address,
            Prometheus(tmp_path / kind, {"web": [address]}) as prometheus,
        ):
            wait_until(
                lambda prometheus=prometheus, lines=lines: (
                    prometheus.value('count({__name__=~"slo.+",__name__!~"sloth.*"})') == len(lines)
                ),
                "it is scraped",
                60,
            )
            findings = check_prometheus(services.one(), prometheus.url)
            found[kind] = [each.text for each in findings if each.code == "SLO161"]
    assert found == {
        "well": [],
        "replicas": ["'availability': each event counts 2 times: its series are there once for each replica"],
        "records": [
            "'availability': 2 series of slo:error_budget:ratio: records of the same rules elsewhere are in this store"
        ],
    }


@pytest.mark.real
def test_rules_of_sloth_for_the_same_objective_are_named_and_those_of_slotel_do_not_fail(tmp_path):
    service = services.one()
    own, theirs = tmp_path / "slotel.yaml", tmp_path / "sloth.yaml"
    text = compile_all(service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"]
    own.write_text(re.sub(r"interval: \S+", "interval: 1s", text))  # evaluated at once
    labels = "{sloth_id: shop-availability, sloth_service: shop, sloth_slo: availability}"
    records = {
        "slo:error_budget:ratio": "vector(0.01)",
        "slo:time_period:days": "vector(30)",
        "slo:sli_error:ratio_rate5m": "vector(0)",
    }
    theirs.write_text(
        "groups:\n- name: sloth-slo-meta-recordings-shop-availability\n  interval: 1s\n  rules:\n"
        + "".join(
            f"  - {{record: '{name}', expr: '{expr}', labels: {labels}}}\n" for name, expr in records.items()
        )
    )  # as Sloth writes them
    with Prometheus(tmp_path / "prom", {}, [own, theirs]) as prometheus:
        evaluated = (
            'count(slo:error_budget:ratio) == 2 and on () count({__name__=~"slo:period.*remaining.*"})'
        )
        wait_until(lambda: prometheus.query(evaluated), "both are evaluated", 60)
        found = list(check_prometheus(service, prometheus.url))
    assert [each.text for each in found if "Sloth" in each.text] == [
        "'availability': Sloth's rules for it are loaded, too: they fail, and write into the period's records"
    ]
    assert sum("none fails" in each.text for each in found) == 2


@pytest.mark.real
@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ('slo_events{service_name="shop",slo_name="availability",slo_outcome="good"} 1', "but there is slo_events: names of OTLP"),
        ('slo_events_total{service_name="other",slo_name="availability",slo_outcome="good"} 1', ""),
        ('slo_events_total{service_name="shop",slo_name="availability",slo_outcome="good"} 1', None),
    ],
    ids=["translated without suffixes", "another service's", "its own"],
)  # fmt: skip
def test_events_under_another_spelling_of_otlp_are_named_and_no_interval_is_made_of_a_few_seconds(
    tmp_path, metrics, said
):
    with (
        target(f"{metrics}\n".encode()) as address,
        Prometheus(tmp_path / "prom", {"shop": [address]}) as prometheus,
    ):
        wait_until(lambda: prometheus.query('{__name__=~"slo_events.*"}'), "it is scraped")
        found = [
            each
            for each in check_prometheus(services.one(), prometheus.url)
            if each.code in {"SLO165", "SLO169"}
        ]
    assert [("but there is" in each.text, (said or "") in each.text) for each in found] == (
        [] if said is None else [(bool(said), True)]
    )


def test_an_address_that_is_no_prometheus_is_told_so():
    (finding,) = check_prometheus(services.one(), "http://127.0.0.1:9")
    assert (finding.status, finding.code) == ("fail", "SLO162")
