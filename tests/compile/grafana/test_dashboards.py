"""The dashboards as files: what Grafana's types, links, grid and provisioning demand of them. Nothing is queried."""

import json
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from slotel.cli.generate import compile_all
from slotel.compile import dashboards, provisioning
from slotel.compile.provisioning import sentry_place
from slotel.config import names
from slotel.config.monitoring import Monitoring
from slotel.config.service import Service
from support import services
from support.real import require_real
from support.services import ROOT

NEEDS_SDK = pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11")
MACROS = {"__all", "__rate_interval", "__range", "__from", "__to", "__value", "__data", "__url_time_range"}


@pytest.fixture(scope="module")
def example() -> Service:
    return services.service(services.EXAMPLE)


@pytest.fixture(scope="module")
def boards(example: Service) -> dict[str, dict]:
    return {path: json.loads(text) for path, text in dashboards.files(example).items()}


def panels(board: dict) -> list[dict]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@NEEDS_SDK
def test_there_are_four_dashboards_with_stable_uids(boards):
    assert {board["uid"]: Path(path).name for path, board in boards.items()} == {
        "slotel-slo-list": "slo-list.json",
        "slotel-slo-detail": "slo-detail.json",
        "slotel-service": "service.json",
        "slotel-pipeline": "pipeline.json",
    }


@NEEDS_SDK
def test_they_are_schema_version_42_and_the_same_each_time(example, boards):
    assert {board["schemaVersion"] for board in boards.values()} == {42}
    assert dashboards.files(example) == dashboards.files(example)


@NEEDS_SDK
def test_every_panel_says_what_it_shows_in_which_unit_and_what_its_emptiness_means(boards):
    for path, board in boards.items():
        for panel in panels(board):
            defaults = panel["fieldConfig"]["defaults"]
            where = f"{path}: {panel['title']}"
            assert len(panel["description"]) > 20, where
            assert [one["title"] for one in panels(board)].count(panel["title"]) == 1, where
            assert defaults.get("unit"), where
            assert defaults.get("noValue"), where
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, where
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}, where


@NEEDS_SDK
def test_words_in_place_of_a_number_are_few_enough_to_be_read(boards):
    """Grafana shrinks them until they fit into one line of the panel: a sentence more is a row of dots."""
    said = {
        f"{name}: {panel['title']}": panel["fieldConfig"]["defaults"]["noValue"]
        for name, board in boards.items()
        for panel in panels(board)
        if panel["type"] in {"stat", "gauge", "bargauge"}
    }
    assert said
    assert {title: text for title, text in said.items() if len(text) > 33} == {}


@NEEDS_SDK
def test_a_tables_numbers_leave_the_room_to_its_names(boards):
    """Services, objectives and routes begin alike: with columns of one width each is cut where they begin to differ."""
    for path, board in boards.items():
        for panel in (panel for panel in panels(board) if panel["type"] == "table"):
            fixed = {
                each["matcher"]["options"]
                for each in panel["fieldConfig"]["overrides"]
                if any(one["id"] == "custom.width" for one in each["properties"])
            }
            renamed = panel["transformations"][1]["options"]["renameByName"]
            numbers = {name for field, name in renamed.items() if field.startswith("Value")}
            assert numbers == fixed, f"{path}: {panel['title']}"


@NEEDS_SDK
def test_no_panel_lies_on_another_or_beyond_the_grid(boards):
    for path, board in boards.items():
        taken: dict[tuple[int, int], str] = {}
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24, f"{path}: {panel['title']}"
            for x in range(at["x"], at["x"] + at["w"]):
                for y in range(at["y"], at["y"] + at["h"]):
                    assert (x, y) not in taken, f"{path}: {panel['title']} lies on {taken[x, y]}"
                    taken[x, y] = panel["title"]


@NEEDS_SDK
def test_every_variable_in_a_query_a_link_or_a_legend_is_one_that_the_dashboard_has(boards):
    for path, board in boards.items():
        known = {variable["name"] for variable in board["templating"]["list"]} | MACROS
        assert {"datasource"} <= known
        shown = json.dumps([board["panels"], board["links"], board["annotations"], board["templating"]])
        used = set(re.findall(r"\$\{?(\w+)", shown))
        assert used <= known, f"{path}: {used - known}"


@NEEDS_SDK
def test_a_dashboard_that_filters_by_service_offers_data_source_environment_service_and_operation(boards):
    of_service = boards["grafana/dashboards/service.json"]
    offered = [
        variable["name"] for variable in of_service["templating"]["list"] if variable.get("hide", 0) != 2
    ]
    assert offered == ["datasource", "environment", "service", "operation", "instance", "project", "tags"]


@NEEDS_SDK
def test_rates_are_taken_over_grafanas_own_interval_and_no_query_names_a_bucket_edge(boards):
    """A short fixed window breaks at another scrape interval, and `le="1"` is `le="1.0"` in Prometheus 3."""
    for board in boards.values():
        for panel in panels(board):
            for target in panel["targets"]:
                assert not re.search(r"le=", target["expr"]), target["expr"]
                for window in re.findall(r"(?:rate|increase)\([^()]*\[([^\]]+)\]", target["expr"]):
                    assert window in {"$__rate_interval", "$__range", "$__range] @ end()", "1h"}, target[
                        "expr"
                    ]


@NEEDS_SDK
def test_links_lead_to_sentry_the_runbook_the_trace_and_the_other_dashboards(example, boards):
    detail = boards[dashboards.PATHS[names.DASHBOARD_SLO_DETAIL]]
    addresses = {link["title"]: link["url"] for link in detail["links"]}
    assert addresses["Runbook"] == "https://runbooks.example/${service}/${slo}"
    assert addresses["Sentry issues"].startswith("https://sentry.example/organizations/acme/issues/?query=")
    uids = {board["uid"] for board in boards.values()}
    for board in boards.values():
        for uid in re.findall(r"/d/([\w-]+)", json.dumps(board)):
            assert uid in uids
    sources = YAML(typ="safe").load(provisioning.files(example)[provisioning.SOURCES])["datasources"]
    (exemplar,) = sources[0]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar["name"] == "trace_id"
    assert exemplar["url"] == "https://sentry.example/organizations/acme/performance/trace/$${__value.raw}/"


@NEEDS_SDK
def test_the_search_in_sentry_is_narrowed_to_a_service_only_where_its_events_have_that_tag(example):
    tagged = replace(example, tags=example.tags._replace(set={"service": "checkout"}))
    for service, query in ((example, "is:unresolved&"), (tagged, "is:unresolved+service:%22${service}%22&")):
        board = json.loads(dashboards.files(service)[dashboards.PATHS[names.DASHBOARD_SERVICE]])
        (address,) = [link["url"] for link in board["links"] if link["title"] == "Sentry issues"]
        assert query in address


@NEEDS_SDK
def test_without_addresses_there_is_no_dead_link(example):
    bare = replace(example, monitoring=Monitoring())
    made = json.dumps(dashboards.files(bare)) + json.dumps(dict(provisioning.files(bare)))
    assert "sentry.example" not in made and "runbooks.example" not in made and "exemplarTrace" not in made
    for text in dashboards.files(bare).values():
        assert {link["title"] for link in json.loads(text)["links"]} <= {
            "SLO list",
            "SLO detail",
            "Service",
            "Pipeline",
        }


@NEEDS_SDK
def test_an_objectives_own_runbook_stands_on_the_detail(example):
    slos = (replace(example.slos[0], runbook="https://wiki.example/pay"), *example.slos[1:])
    text = dashboards.files(replace(example, slos=slos))[dashboards.PATHS[names.DASHBOARD_SLO_DETAIL]]
    assert "[runbook](https://wiki.example/pay)" in text


@NEEDS_SDK
def test_grafanas_sdk_reads_them_back_unchanged(boards):
    """The SDK's reader is another piece of code than its builders: nothing is lost, and nothing is of no type."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.models.dashboard import Dashboard
    for path, board in boards.items():
        again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
        for link in again["links"]:
            del link["placement"]  # the reader puts its default there, which would hide links in a menu
        assert again == board, path


@pytest.mark.real
def test_a_config_map_takes_them_by_the_command_of_the_page():
    """Its limit is 1 MiB; without a cluster the command goes as far as the object."""
    page = (ROOT / "docs" / "grafana.md").read_text(encoding="utf-8")
    command = page[page.index("kubectl create configmap") : page.index(" | kubectl apply")]
    done = subprocess.run(["sh", "-c", command.replace("kubectl", require_real("kubectl"))],
                          cwd=ROOT, capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = YAML(typ="safe").load(done.stdout)
    assert made["metadata"]["labels"] == {"grafana_dashboard": "1"}
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "grafana/dashboards").iterdir()}
    assert made["data"] == files
    assert sum(len(text.encode()) for text in files.values()) < 2**20


def test_provisioning_names_the_files_that_are_generated(example):
    made = provisioning.files(example)
    load = YAML(typ="safe").load
    (provider,) = load(made[provisioning.DASHBOARDS])["providers"]
    assert provider["options"]["path"] == provisioning.INSTALLED
    prometheus, alertmanager = load(made[provisioning.SOURCES])["datasources"]
    assert prometheus["jsonData"]["alertmanagerUid"] == alertmanager["uid"]
    assert load(made[provisioning.SENTRY])["datasources"][0]["secureJsonData"] == {
        "authToken": "$SENTRY_AUTH_TOKEN"
    }


def test_the_sentry_data_source_needs_one_variable_where_the_address_is_known_and_is_no_default_where_not(
    example,
):
    made = provisioning.files(example)
    assert set(re.findall(r"\$(\w+)", made[provisioning.SENTRY])) == {"SENTRY_AUTH_TOKEN"}
    bare = provisioning.files(replace(example, monitoring=Monitoring()))
    assert provisioning.SENTRY not in bare
    assert "$SENTRY_ORG" in bare[provisioning.SENTRY_UNPLACED]


@NEEDS_SDK
def test_the_row_of_sentry_is_there_where_its_address_is_and_asks_nothing_until_it_is_opened(example):
    def sentry_rows(service: Service) -> list[dict]:
        board = json.loads(dashboards.files(service)[dashboards.PATHS[names.DASHBOARD_SERVICE]])
        return [panel for panel in board["panels"] if panel["title"] == "Sentry"]

    (row,) = sentry_rows(example)
    assert row["collapsed"] is True
    assert [panel["targets"][0]["queryType"] for panel in row["panels"]] == [
        "issues",
        "eventsStats",
        "eventsStats",
    ]
    assert sentry_rows(replace(example, monitoring=Monitoring())) == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://sentry.example/organizations/acme", ("https://sentry.example", "acme")),
        ("https://sentry.io/organizations/acme", ("https://sentry.io", "acme")),
        ("https://acme.sentry.io", ("https://sentry.io", "acme")),
        ("https://glitchtip.example", ("https://glitchtip.example", "")),
        ("", ("", "")),
    ],
)
def test_the_organisation_is_read_from_sentrys_address(url, place):
    assert sentry_place(url) == place


def test_a_python_without_the_sdk_writes_everything_else_and_says_so(example, monkeypatch):
    monkeypatch.setattr(dashboards.sys, "version_info", (3, 10, 14))
    from slotel.compile.warnings import warnings as notes

    assert not [path for path in compile_all(example) if path.endswith(".json") and "dashboards" in path]
    assert "prometheus/rules.yaml" in compile_all(example)
    assert [note for note in notes(example) if "Grafana's SDK needs Python 3.11" in note]


@NEEDS_SDK
def test_a_missing_sdk_is_said_with_the_command_that_installs_it(example, monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("grafana_foundation_sdk", "slotel.compile.grafana"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk.builders", None)
    with pytest.raises(ValueError, match=r"uvx --from 'slotel\[tools\]'"):
        dashboards.files(example)


@NEEDS_SDK
def test_the_repositorys_own_grafana_is_what_the_example_gives(example):
    for path, text in compile_all(example).items():
        if path.startswith("grafana/"):
            assert (services.ROOT / path).read_text(encoding="utf-8") == text, (
                f"run: slotel generate ... for {path}"
            )
