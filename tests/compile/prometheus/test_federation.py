"""Rules in a central Prometheus that has the series of two others, by federation and by remote write: what they add up."""

import re
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from slotel.cli.prometheus.checks import check_prometheus
from slotel.compile.prometheus.rules import files
from slotel.config.load import read_configuration
from support.launch import Launched, wait_until
from support.prom import Prometheus

INTERVAL = "500ms"
COUNTERS = ["slo_events_total", "traces_span_metrics_calls_total"]
"""What the rules of the default source read."""
GOOD, BAD = {"a": 90, "b": 40}, {"a": 10, "b": 20}
OF_SHOP = '{service="shop",slo="availability"}'


def rules(folder, name, monitoring=""):
    """Return the generated rules, evaluated twice a second instead of every 30 s."""
    configuration = folder / f"{name}.yaml"
    configuration.write_text(
        "service: shop\nslos: [{name: availability, error_budget: 5%, window: 1h}]\n" + monitoring
    )
    text = files(read_configuration({}, str(configuration)).service)["prometheus/rules.yaml"]
    path = folder / f"{name}.rules.yaml"
    path.write_text(
        text.replace("interval: 30s", f"interval: {INTERVAL}").replace("interval: 2m", "interval: 2s")
    )
    return path


def federation(*matches, honor_labels=True):
    """The scrape job as the page has it."""
    job = printed()[0]["scrape_configs"][0]
    assert job["honor_labels"]
    selected = {"match[]": [f'{{__name__="{name}"}}' for name in matches]} if matches else job["params"]
    return {"metrics_path": job["metrics_path"], "honor_labels": honor_labels, "params": selected}


def written_to(prometheus):
    """The remote write as the page has it."""
    (remote,) = printed()[1]["remote_write"]
    return {**remote, "url": f"http://{at(prometheus)}/api/v1/write"}


def printed():
    """The configurations on the page."""
    text = (Path(__file__).parents[3] / "docs/prometheus.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return [YAML(typ="safe").load(block) for block in blocks]


def at(prometheus):
    return f"127.0.0.1:{prometheus.port}"


class Fleet:
    """Two clusters, each with a service of one name and a Prometheus, whose scrapes have the same labels."""

    def __init__(self, folder, stack):
        self._folder, self._stack, self._number = folder, stack, 0
        configuration = folder / "shop.yaml"
        configuration.write_text(
            "service: shop\nslos: [{name: availability, error_budget: 5%, window: 1h}]\n"
        )
        env = {"SLOTEL_CONFIG": str(configuration)}
        self.shops = {
            cluster: stack.enter_context(Launched(sys.executable, "flask_app.py", env=env))
            for cluster in "ab"
        }
        for shop in self.shops.values():
            shop.wait_ready()

    def prometheus(self, jobs, rule_files=(), **how):
        self._number += 1
        return self._stack.enter_context(
            Prometheus(self._folder / f"prometheus-{self._number}", jobs, rule_files, INTERVAL, **how)
        )

    def leaf(self, cluster, rule_files=(), external=None, **how):
        """The Prometheus of a cluster. Its target is called as the other's."""
        labels = {"cluster": cluster} if external is None else external
        renamed = [{"target_label": "instance", "replacement": "shop:9464"}]
        target = f"127.0.0.1:{self.shops[cluster].metrics_port}"
        scrape = {"shop": {"relabel_configs": renamed}}
        return self.prometheus({"shop": [target]}, rule_files, external_labels=labels, scrape=scrape, **how)

    def load(self):
        for cluster, shop in self.shops.items():
            for path, times in (("/ok", GOOD[cluster]), ("/error", BAD[cluster])):
                for _ in range(times):
                    shop.get(path)


@pytest.fixture
def fleet(tmp_path):
    with ExitStack() as stack:
        yield Fleet(tmp_path, stack)


def scraped(prometheus, series=2):
    wait_until(
        lambda: (
            len(prometheus.query('count_over_time(slo_events_total{slo_outcome="bad"}[5m]) >= 3')) >= series
        ),
        "each cluster's counters have been seen three times",
    )


def settled(prometheus, good, bad, labels=OF_SHOP):
    """Wait until the recorded counts are these, within two per cent: `increase` extrapolates.

    Longer windows are sums of the base window, for which rules that are evaluated twice a second come too often.
    """
    for name, number in (("slo:events", good + bad), ("slo:events_bad", bad)):
        for window in ("5m", "30m", "1h"):
            record = f"{name}:increase{window}{labels}"
            wait_until(
                lambda record=record, number=number: (
                    prometheus.value(record) == pytest.approx(number, rel=0.02)
                ),
                f"{record} is {number}",
                60,
            )
    ratio = bad / (good + bad)
    for record, value in (
        ("slo:sli_error:ratio_rate1h", ratio),
        ("slo:current_burn_rate:ratio", ratio / 0.05),
    ):
        assert prometheus.value(record + labels) == pytest.approx(value, rel=0.02), record


def failing(prometheus):
    return {
        (rule["name"], rule["lastError"])
        for group in prometheus.ask("rules")["groups"]
        for rule in group["rules"]
        if rule["health"] == "err"
    }


@pytest.mark.real
def test_centrally_events_of_all_clusters_count_once_by_federation_and_by_remote_write(fleet, tmp_path):
    both = rules(tmp_path, "both")
    each = [rules(tmp_path, name, f"monitoring: {{match: {{cluster: {name}}}}}\n") for name in "ab"]
    receiver = fleet.prometheus({}, [both])
    leaves = [fleet.leaf(cluster, remote_write=[written_to(receiver)]) for cluster in "ab"]
    federated = {"federation": [at(leaf) for leaf in leaves]}
    kept, renamed = ({"federation": federation(honor_labels=honor)} for honor in (True, False))
    central = fleet.prometheus(federated, [both], scrape=kept)
    renaming = fleet.prometheus(federated, [both], scrape=renamed)
    apart = fleet.prometheus(federated, each, scrape=kept)
    everywhere = (receiver, central, renaming, apart)
    for prometheus in everywhere:
        scraped(prometheus)
    fleet.load()
    for prometheus in (receiver, central, renaming):
        settled(prometheus, sum(GOOD.values()), sum(BAD.values()))
    for cluster in "ab":
        settled(apart, GOOD[cluster], BAD[cluster], OF_SHOP.replace("}", f',cluster="{cluster}"}}'))
    assert [failing(prometheus) for prometheus in everywhere] == [set()] * 4


@pytest.mark.real
def test_what_two_replicas_send_counts_twice_and_what_other_rules_recorded_makes_rules_fail(fleet, tmp_path):
    """As docs/prometheus.md says; `slotel doctor --prometheus` names both."""
    both = rules(tmp_path, "both")
    pair = [fleet.leaf("a", [both], {"replica": name}) for name in "xy"]
    names = [*COUNTERS, "slo:error_budget:ratio"]
    doubled = fleet.prometheus(
        {"federation": [at(leaf) for leaf in pair]}, [both], scrape={"federation": federation()}
    )
    mixed = fleet.prometheus({"federation": [at(pair[0])]}, [both], scrape={"federation": federation(*names)})
    single = fleet.prometheus({"federation": [at(pair[0])]}, [both], scrape={"federation": federation()})
    scraped(doubled)
    scraped(single, 1)
    fleet.load()
    settled(single, GOOD["a"], BAD["a"])
    settled(doubled, 2 * GOOD["a"], 2 * BAD["a"])
    wait_until(lambda: failing(mixed), "rules fail", 60)
    assert {error for _, error in failing(mixed)}
    service = read_configuration({}, str(tmp_path / "both.yaml")).service
    told = {
        prometheus: [
            finding.text for finding in check_prometheus(service, prometheus.url) if finding.code == "SLO161"
        ]
        for prometheus in (single, doubled, mixed)
    }
    assert [len(texts) for texts in told.values()] == [0, 1, 1], told


@pytest.mark.real
def test_without_external_labels_series_that_are_alike_are_mixed_up_unless_they_are_renamed(fleet, tmp_path):
    """Two targets of one name, in two Prometheus: `honor_labels: true` makes one series of two counters."""
    both = rules(tmp_path, "both")
    federated = {"federation": [at(fleet.leaf(cluster, external={})) for cluster in "ab"]}
    kept, renamed = (
        fleet.prometheus(federated, [both], scrape={"federation": federation(honor_labels=honor)})
        for honor in (True, False)
    )
    scraped(renamed)
    fleet.load()
    settled(renamed, sum(GOOD.values()), sum(BAD.values()))
    bad = kept.query('slo_events_total{slo_name="availability",slo_outcome="bad"}')
    assert len(bad) == 1
    print(kept.value(f"slo:events:increase5m{OF_SHOP}"))
