"""Each way in which rules counted wrongly or paged for the wrong service, on one history under promtool.

One run holds all services, because their series must not touch one another either.
"""

import pytest

from slotel.cli.generate import compile_all
from slotel.compile.promql import equal, series
from slotel.compile.yaml_file import yaml_lines
from slotel.config.foreign.formats import Source, read_files
from slotel.config.service import read_service
from support.promtool import run_tests, write

MINUTES = 75
STEPS = MINUTES * 2
W = "[{{.window}}]"


def own(service, name, more=""):
    return read_service({}, f"service: {service}\nslos: [{{name: {name}, objective: 99%}}]\n{more}").service


def sloth(service, bad, total, **labels):
    spec = {"version": "prometheus/v1", "service": service, "labels": labels, "slos": [
        {"name": "slo", "objective": 99, "sli": {"events": {"error_query": bad, "total_query": total}}}
    ]}  # fmt: skip
    (reading,) = read_files({}, [Source("slo.yaml", "\n".join(yaml_lines(spec)))])
    assert reading.problems == ()
    return reading.service


def events(service, slo, good, bad):
    for outcome, values in (("good", good), ("bad", bad)):
        labels = f'service_name="{service}",slo_name="{slo}",slo_outcome="{outcome}"'
        yield f"slo_events_total{{{labels}}}", values


def growing(rate):
    return f"0+{rate}x{STEPS}"


def rarely(rate):
    """Scraped every five minutes."""
    return " ".join(f"{rate * index} _x9" for index in range(STEPS // 10 + 1))


SERVICES = {
    "same-id-a": own("checkout", "api-latency"),
    "same-id-b": own("checkout-api", "latency"),
    "groups": sloth(
        "groups", f'sum by (cluster) (rate(g_total{{code="500"}}{W}))', f"sum by (cluster) (rate(g_total{W}))"
    ),
    "no-edge": sloth(
        "no-edge", f'sum(rate(d_count{W})) - sum(rate(d_bucket{{le="0.5"}}{W}))', f"sum(rate(d_count{W}))"
    ),
    "race": sloth(
        "race", f'sum(rate(r_count{W})) - sum(rate(r_bucket{{le="0.5"}}{W}))', f"sum(rate(r_count{W}))"
    ),
    "rare": own("rare", "slo", "monitoring: {scrape_interval: 5m}\n"),
    "invented": sloth(
        "invented", f"sum(rate(v_total{{code='500'}}{W}))", f"sum(rate(v_total{W})) > 0 or vector(1)"
    ),
    "addends": sloth(
        "addends",
        f"sum(rate(a_total{{code='500'}}{W})) + sum(rate(never_total{W}))",
        f"sum(rate(a_total{W}))",
    ),
    "nested": sloth(
        "nested", f"sum(rate(n_total{{code='500'}}{W}))", f"sum(sum(rate(n_total{W})) or vector(1)) * 60"
    ),
    "halves": sloth(
        "halves",
        f"sum(rate(h_failed_total{W}))",
        f"sum(rate(h_ok_total{W})) + sum(rate(h_failed_total{W})) + sum(rate(h_late_total{W}))",
    ),
    "owned": sloth(
        "owned",
        f'sum by (team) (rate(o_total{{code="500"}}{W}))',
        f"sum by (team) (rate(o_total{W}))",
        team="b",
    ),
}
SERIES = dict([
    *events("checkout", "api-latency", growing(0), growing(100)),
    *events("checkout-api", "latency", growing(100), growing(0)),
    ('g_total{code="200",cluster="eu"}', growing(10_000)), ('g_total{code="500",cluster="us"}', growing(50)),
    ("d_count", growing(100)), ('d_bucket{le="1"}', growing(90)),
    ("r_count", growing(100)), ('r_bucket{le="0.5"}', growing(150)),
    *events("rare", "slo", rarely(0), rarely(1000)),
    ('v_total{code="200"}', f"0+10x20 200x{STEPS - 20}"), ('v_total{code="500"}', f"0x{STEPS}"),
    ('a_total{code="200"}', growing(50)), ('a_total{code="500"}', growing(50)),
    ('n_total{code="200"}', f"0+10x20 200x{STEPS - 20}"), ('n_total{code="500"}', f"0x{STEPS}"),
    ("h_ok_total", growing(50)), ("h_late_total", f"_x{STEPS - 60} 0+50x60"),
    ('o_total{code="500",team="a"}', growing(50)), ('o_total{code="200",team="b"}', growing(50)),
])  # fmt: skip


def firing(service, **labels):
    return f"count({series('ALERTS', equal({'alertstate': 'firing', 'sloth_service': service, **labels}))})"


PAGE = {"long": "1h", "sloth_severity": "page"}
OPERAND = 'd_bucket{le="0.5"}'
NOTHING = None
EXPECTED = [
    # two services whose id is the same: each its own series, and only the bad one pages
    ('count(slo:sli_error:ratio_rate1h{sloth_id="checkout-api-latency"})', 60, 2),
    (firing("checkout", **PAGE), 60, 1),
    (firing("checkout-api"), 60, NOTHING),
    # 0.5 % of all, but all of one cluster
    (firing("groups", cluster="us", slo_group="us", **PAGE), 60, 1),
    (firing("groups", cluster="eu"), 60, NOTHING),
    ('count(slo:current_burn_rate:ratio{sloth_service="groups"})', 60, 2),
    ('sum(slo:period_error_budget_remaining:ratio{sloth_service="groups",slo_group="us"} <= bool 0)', 60, 1),
    ('sum(slo:period_error_budget_remaining:ratio{sloth_service="groups",slo_group="eu"})', 60, 1),
    # a bucket that no histogram has: named within ten minutes, and no page
    (firing("no-edge", reason="operand", operand=OPERAND), 10, 1),
    (firing("no-edge", sloth_severity="page"), 60, NOTHING),
    (firing("race", reason="operand"), 60, NOTHING),
    # more fast requests than requests, as a scrape between two increments sees it
    ('sum(slo:events_bad:increase1h{sloth_service="race"})', 60, 0),
    ('sum(slo:period_error_budget_remaining:ratio{sloth_service="race"})', 60, 1),
    # scrapes every five minutes: the shortest window is 20 m, and the alert fires
    (firing("rare", short="20m", **PAGE), 60, 1),
    ('count(slo:sli_error:ratio_rate5m{sloth_service="rare"})', 60, NOTHING),
    # a fallback that would invent events while nothing is asked
    ('sum(slo:events:increase5m{sloth_service="invented"})', 60, 0),
    # an error that never happened yet is no reason to lose the others
    ('sum(round(slo:sli_error:ratio_rate1h{sloth_service="addends"}, 0.001))', 60, 0.5),
    # the same fallback within a sum, and within a product
    ('sum(slo:events:increase5m{sloth_service="nested"})', 60, 0),
    # nor is it a reason to count nothing, where all events are a sum of those that failed and of others
    ('sum(slo:sli_error:ratio_rate30m{sloth_service="halves"})', 40, 0),
    ('sum(round(slo:events:increase5m{sloth_service="halves"}, 10))', 40, 500),
    ('sum(round(slo:events:increase5m{sloth_service="halves"}, 10))', 60, 1000),
    (firing("halves"), 60, NOTHING),
    # a label of the objective that is one of its groups, too
    (firing("owned", team="a", slo_group="a", **PAGE), 60, 1),
    (firing("owned", team="b"), 60, NOTHING),
]


@pytest.mark.real
def test_no_rule_counts_wrongly_and_no_healthy_service_pages(tmp_path):
    files, groups = {}, []
    for name, service in SERVICES.items():
        files[f"prometheus/{name}.yaml"] = compile_all(service, ["slotel.compile.prometheus.rules"])[
            "prometheus/rules.yaml"
        ]
        groups += [f"slotel-period-{service.name}", f"slotel-slo-{service.name}"]
    tests = [
        {
            "expr": expr,
            "eval_time": f"{minute}m",
            "exp_samples": [] if value is NOTHING else [{"labels": "{}", "value": value}],
        }
        for expr, minute, value in EXPECTED
    ]
    document = {
        "rule_files": [f"{name}.yaml" for name in SERVICES], "evaluation_interval": "30s", "group_eval_order": groups,
        "tests": [{
            "interval": "30s", "input_series": [{"series": name, "values": values} for name, values in SERIES.items()],
            "promql_expr_test": tests,
        }],
    }  # fmt: skip
    files["prometheus/rules.test.yaml"] = "\n".join(yaml_lines(document)) + "\n"
    passed, output = run_tests(write(tmp_path, files))
    assert passed, output[:4000]
