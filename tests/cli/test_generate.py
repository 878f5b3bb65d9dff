"""`slotel generate` with several services, and in a directory where somebody else's files are."""

import json

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from slotel.cli.commands import app

OWN = "service: shop\nslos:\n  - {name: availability, objective: 99.9%}\n"
SLOTH = """\
version: prometheus/v1
service: {service}
slos:
  - name: {name}
    objective: 99
    sli:
      events:
        error_query: sum(rate(errors_total[{{{{.window}}}}]))
        total_query: sum(rate(requests_total[{{{{.window}}}}]))
"""


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_SERVICE_NAME", "SLOTEL_CONFIG", "ERROR_BUDGET_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def slotel(*arguments):
    return CliRunner().invoke(app, ["generate", *arguments])


def test_a_file_that_was_edited_is_kept_and_named_and_the_others_are_written(directory):
    (directory / "slotel.yaml").write_text(OWN)
    assert slotel("--out", "out").exit_code == 0
    edited = directory / "out/prometheus/alertmanager.example.yaml"
    edited.write_text(edited.read_text() + "# my receivers\n")
    (directory / "slotel.yaml").write_text(OWN.replace("99.9%", "95%"))
    done = slotel("--out", "out")
    assert done.exit_code == 1
    assert "alertmanager.example.yaml: kept, it was edited since slotel wrote it" in done.output
    assert "# my receivers" in edited.read_text()
    assert "vector(0.95)" in (directory / "out/prometheus/rules.yaml").read_text()
    assert slotel("--out", "out", "--force").exit_code == 0
    assert "# my receivers" not in edited.read_text()
    assert slotel("--out", "out").exit_code == 0


def test_a_file_that_slotel_did_not_write_is_kept(directory):
    (directory / "slotel.yaml").write_text(OWN)
    (directory / "out/prometheus").mkdir(parents=True)
    mine = directory / "out/prometheus/rules.yaml"
    mine.write_text("groups: []\n")
    done = slotel("--out", "out")
    assert (done.exit_code, mine.read_text()) == (1, "groups: []\n")
    assert "rules.yaml: kept, slotel did not write it" in done.output


def test_the_files_of_another_service_are_kept(directory):
    (directory / "a.yaml").write_text(OWN)
    (directory / "b.yaml").write_text(OWN.replace("shop", "other"))
    assert slotel("--config", "a.yaml", "--out", "out").exit_code == 0
    done = slotel("--config", "b.yaml", "--out", "out")
    assert done.exit_code == 1
    assert "rules.yaml: kept, it is of the service 'shop'" in done.output
    assert "shop" in (directory / "out/prometheus/rules.yaml").read_text()


def test_what_the_manifest_says_is_the_hash_of_what_was_written(directory):
    import hashlib

    (directory / "slotel.yaml").write_text(OWN)
    slotel("--out", "out")
    files = json.loads((directory / "out/.slotel-generated.json").read_text())["files"]
    assert len(files) > 10
    for path, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((directory / "out" / path).read_bytes()).hexdigest()


def test_a_directory_gives_one_rule_file_for_each_service(directory):
    (directory / "slos/team").mkdir(parents=True)
    (directory / "slos/a.yml").write_text(SLOTH.format(service="a", name="x"))
    (directory / "slos/team/b.yaml").write_text(SLOTH.format(service="b", name="y"))
    (directory / "slos/more.yaml").write_text(SLOTH.format(service="a", name="z"))
    (directory / "slos/values.yaml").write_text("replicas: 3\n")
    done = slotel("--config", "slos", "--out", "out")
    assert done.exit_code == 0, done.output
    rules = {path.parent.parent.name: path for path in (directory / "out").glob("*/prometheus/rules.yaml")}
    assert set(rules) == {"a", "b"}
    recorded = {
        rule.get("labels", {}).get("sloth_slo")
        for group in YAML(typ="safe", pure=True).load(rules["a"].read_text())["groups"]
        for rule in group["rules"]
    }
    assert recorded - {None} == {"x", "z"}
    assert slotel("--config", "slos", "--out", "out", "--check").exit_code == 0


def test_one_wrong_file_of_a_directory_is_named_and_nothing_is_written(directory):
    (directory / "slos").mkdir()
    (directory / "slos/a.yml").write_text(SLOTH.format(service="a", name="x"))
    (directory / "slos/b.yml").write_text(
        SLOTH.format(service="b", name="y").replace("sum(rate(errors", "sum(ra(errors")
    )
    done = slotel("--config", "slos", "--out", "out")
    assert done.exit_code == 1
    assert "slos/b.yml:8 slos[0].sli.events.error_query: line 1, column 7: not valid PromQL" in done.output
    assert not (directory / "out").exists()
