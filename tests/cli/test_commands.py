"""`slotel validate`, `explain`, `generate` as a person runs them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from slotel.cli.commands import app
from support import services
from support.commands import OF_THE_ENVIRONMENT, slotel

SLOTEL = Path(sys.executable).with_name("slotel")
FINE = "service: shop\nslos:\n  - {name: availability, objective: 99.9%}\n"


def in_a_process(*arguments, cwd, **variables):
    """The real command in a real process, for what only that shows."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OF_THE_ENVIRONMENT)}
    return subprocess.run(
        [SLOTEL, *arguments], cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, timeout=170
    )


def written(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


BAD = {
    "an objective of 100 %": ("slos:\n  - {name: a, objective: 100%}\n", "slotel.yaml:2 slos[0].objective", "100% leaves no budget"),
    "an objective of 0": ("slos:\n  - {name: a, objective: 0}\n", "slotel.yaml:2 slos[0].objective", "write for example '99.9%'"),
    "99.9 without its sign": ("slos:\n  - {name: a, objective: 99.9}\n", "slotel.yaml:2 slos[0].objective", "write '99.9%'"),
    "an unknown key": ("slos:\n  - {name: a, objective: 99%, latncy: 1s}\n", "slotel.yaml:2 slos[0].latncy", "known are: "),
    "two objectives of one name": ("slos:\n  - {name: a, objective: 99%}\n  - {name: a, objective: 98%}\n", "slotel.yaml:3 slos[1].name", "names are unique"),
    "a name that is none": ("slos:\n  - {name: 'a b\"', objective: 99%}\n", "slotel.yaml:2 slos[0].name", "a name has letters"),
    "a label that Prometheus refuses": ("monitoring: {match: {'my-env': prod}}\n", "slotel.yaml:1 monitoring", "Prometheus refuses the label name"),
    "a source that has no such label": (
        "slos:\n  - {name: a, objective: 99%, include: {customer: x}}\nmonitoring: {source: span_metrics}\n",
        "service 'shop'",
        "no label for 'customer'",
    ),
    "a label that is a template": ("monitoring: {match: {environment: 'a {{ b }}'}}\n", "service 'shop'", "for a template"),
    "a duration without a unit": ("slos:\n  - {name: a, objective: 99%, latency: 300}\n", "slotel.yaml:2 slos[0].latency", "write it as '300ms'"),
    "bad YAML": ("slos: [\n", "slotel.yaml:", "not valid YAML"),
    "a tab": ("slos:\n\t- {name: a, objective: 99%}\n", "slotel.yaml:2", "indent by spaces"),
    "a character that YAML has not": ("slos:\n  - {name: a\x00, objective: 99%}\n", "slotel.yaml:2", "U+0000 cannot stand in YAML"),
    "a second document": ("---\nservice: b\n", "slotel.yaml", "'---' begins another"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "expectation"), BAD.values(), ids=BAD.keys())
def test_a_wrong_file_is_one_line_with_its_place_and_nothing_is_written(
    text, place, expectation, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_SERVICE_NAME", "SLOTEL_CONFIG", "ERROR_BUDGET_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "slotel.yaml").write_text("service: shop\n" + text)
    place = re.sub(r":(\d)", lambda found: f":{int(found[1]) + 1}", place)
    for arguments in (("validate",), ("generate", "--out", "out")):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 1, done
        lines = [line for line in done.output.splitlines() if expectation in line]
        assert len(lines) == 1, done.output
        assert isinstance(done.exception, SystemExit)
        if arguments == ("validate",):
            assert place in lines[0]
    assert written(tmp_path) == ["slotel.yaml"]


@pytest.mark.parametrize("command", ["doctor", "explain"])
def test_a_terminal_whose_encoding_lacks_a_character_gets_its_escape(command, tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE.replace("shop", "caf\u00e9"), encoding="utf-8")
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "SENTRY_DSN": "none"}
    done = in_a_process(command, cwd=tmp_path, PYTHONCOERCECLOCALE="0", **ascii_only)
    assert "Traceback" not in done.stderr
    assert "\\u" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_says_the_same_in_any_encoding(encoding, tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE.replace("shop", "caf\u00e9 \U0001f600"), encoding="utf-8")
    said = []
    for environ in ({"PYTHONIOENCODING": "utf-8"}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}):
        command = [SLOTEL, "explain", "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **environ}, capture_output=True, timeout=170, check=True
        )
        said.append(
            json.loads(
                done.stdout.decode("latin-1" if environ.get("PYTHONIOENCODING") == "latin-1" else "utf-8")
            )
        )
    assert said[0] == said[1] and "caf\u00e9 \U0001f600" in str(said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to write to")
@pytest.mark.parametrize("command", ["doctor", "schema"])
def test_an_output_that_takes_nothing_is_said_in_one_line(command, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [SLOTEL, command],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=170,
            check=False,
        )
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "slotel: output: No space left on device")


def test_an_empty_directory_a_huge_file_and_a_missing_one_are_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(100_000_000)
    for name, reason in (
        ("folder", "there is no slotel.yaml in it"),
        ("huge.yaml", "100,000,000 bytes"),
        ("nowhere.yaml", "no such file"),
    ):
        done = slotel("generate", "--config", name, "--out", "out", cwd=tmp_path)
        assert done.returncode == 1
        assert name in done.stderr and reason in done.stderr
    assert written(tmp_path) == ["huge.yaml"]


def test_with_no_file_the_environments_objective_is_compiled(tmp_path):
    done = slotel("generate", "--out", "out", cwd=tmp_path, OTEL_SERVICE_NAME="shop", ERROR_BUDGET_LIMIT="5%")
    assert done.returncode == 0, done.stderr
    rules = (tmp_path / "out/prometheus/rules.yaml").read_text()
    assert "shop: more than" not in rules
    assert "more than 5% bad events in 1h" in rules


def test_a_service_without_a_name_is_refused(tmp_path):
    done = slotel("validate", cwd=tmp_path)
    assert done.returncode == 1
    assert "OTEL_SERVICE_NAME" in done.stderr


@pytest.mark.parametrize("command", ["validate", "explain"])
def test_a_file_is_named_with_and_without_config(tmp_path, command):
    (tmp_path / "other.yaml").write_text(FINE)
    by_name, by_option = (
        slotel(command, *given, cwd=tmp_path) for given in (["other.yaml"], ["--config", "other.yaml"])
    )
    assert by_name.returncode == 0, by_name.stderr
    assert by_name.stdout == by_option.stdout


def test_validate_says_what_is_fine(tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE)
    done = slotel("validate", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ok    shop: availability (99.9 %)")
    found = json.loads(slotel("validate", "--json", cwd=tmp_path).stdout)
    assert (found["service"], found["problems"]) == ("shop", [])


def test_validate_says_what_has_no_effect(tmp_path):
    (tmp_path / "slotel.yaml").write_text(f"{FINE}\nsentry: {{mode: otlp, keep: [errors]}}\n")
    done = slotel("validate", cwd=tmp_path)
    assert done.returncode == 0
    assert "info  slotel.yaml sentry.keep: without effect in sentry.mode otlp" in done.stdout


def test_a_tier_that_can_never_fire_is_left_out_and_said(tmp_path):
    (tmp_path / "slotel.yaml").write_text("service: shop\nslos:\n  - {name: a, error_budget: 10%}\n")
    done = slotel("generate", "--out", "out", cwd=tmp_path)
    assert "'a': the page alert 1h/5m can never fire" in done.stderr
    assert "short: 5m" not in (tmp_path / "out/prometheus/rules.yaml").read_text()


def test_what_time_slices_make_unreachable_is_said_and_left_out(tmp_path):
    """Five bad slices of 15 min do not fit into an hour."""
    slices = "time_slices: {length: 15m}, window: 30m"
    (tmp_path / "slotel.yaml").write_text(
        f"service: shop\nslos:\n  - {{name: a, objective: 99%, {slices}}}\n"
    )
    done = slotel("generate", "--out", "out", cwd=tmp_path)
    assert "the page alert 1h/5m can never fire (5 time slices of 15m do not fit into 1h)" in done.stderr
    assert "ErrorBudgetLimitExceeded can never fire" in done.stderr
    assert "short: 5m" not in (tmp_path / "out/prometheus/rules.yaml").read_text()
    (objective,) = json.loads(slotel("explain", "--json", cwd=tmp_path).stdout)["objectives"]
    assert objective["traffic"]["counted_per_period"] == 2880
    alerts = [
        (alert["long_seconds"], alert["outages"][1]["detected_after_seconds"]) for alert in objective["tiers"]
    ]
    assert alerts == [(21600, 4500), (86400, 4500), (259200, 4500), (3600, None)]
    assert "29 of 2,880 time slices" in slotel("explain", cwd=tmp_path).stdout


def test_a_pipe_is_no_configuration_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = slotel("validate", "--config", "pipe", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (
        1, ["error pipe: expected a file, this is a pipe, a socket or a device"],
    )  # fmt: skip


def test_a_name_that_prometheus_would_take_for_a_template_is_refused(tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE.replace("shop", "'shop {{ x'"))
    done = slotel("generate", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1 and "takes '{{' for a template" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_latency_that_others_histograms_have_no_edge_for_is_said(tmp_path):
    text = "service: shop\nslos:\n  - {name: a, objective: 99%, latency: 333ms}\nmonitoring: {source: http_server}\n"
    (tmp_path / "slotel.yaml").write_text(text)
    assert "333 ms is no edge of OpenTelemetry's default buckets" in slotel("validate", cwd=tmp_path).stdout


def test_explain_gives_the_numbers_of_an_objective(tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE)
    document = json.loads(slotel("explain", "--rate", "10", "--json", cwd=tmp_path).stdout)
    (objective,) = document["objectives"]
    assert objective["traffic"]["allowed_bad_per_period"] == pytest.approx(25_920)
    assert objective["traffic"]["allowed_outage_seconds"] == pytest.approx(2592)
    first = objective["tiers"][0]
    assert (first["burn_rate"], first["threshold_ratio"], first["reachable"]) == (14.4, 0.0144, True)
    assert [outage["detected_after_seconds"] for outage in first["outages"]] == [51.84, 518.4, None]
    assert first["outages"][0]["budget_spent_ratio"] == pytest.approx(0.02)
    shown = slotel("explain", cwd=tmp_path).stdout
    assert "99.9 % of the requests of shop are good, in every 30d (rolling)" in shown
    assert all(len(line) < 140 for line in shown.splitlines())
    few = json.loads(slotel("explain", "--rate", "0.001", "--json", cwd=tmp_path).stdout)
    outages = [tier["outages"][0] for tier in few["objectives"][0]["tiers"]]
    assert [outage["detected_after_seconds"] for outage in outages] == [None, 5000, 5000, 5000], (
        "an hour has 3.6 events of the five that an alert needs; they come within 5000 seconds"
    )
    cut = FINE.replace("99.9%", "90%")  # "omitted: it can never fire" is longer than what it stands under
    (tmp_path / "slotel.yaml").write_text(cut)
    shown = slotel("explain", cwd=tmp_path).stdout
    assert "…" not in shown
    assert "> 144 %" in shown and "omitted: it can never fire" in shown and "at 2× (20 %)" in shown


def test_a_generation_that_cannot_finish_changes_nothing(tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE)
    assert slotel("generate", "--out", "out", cwd=tmp_path).returncode == 0
    rules = tmp_path / "out/prometheus/rules.yaml"
    before = rules.read_bytes()
    tests = tmp_path / "out/prometheus/rules.test.yaml"
    tests.unlink()
    tests.mkdir()  # one of the files cannot be written
    (tmp_path / "slotel.yaml").write_text(FINE.replace("99.9%", "95%"))
    done = slotel("generate", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr and "is a directory" in done.stderr
    assert rules.read_bytes() == before
    assert not [name for name in written(tmp_path) if "slotel-new" in name or "slotel-old" in name]


def test_check_finds_a_stale_file(tmp_path):
    (tmp_path / "slotel.yaml").write_text(FINE)
    slotel("generate", "--out", "out", cwd=tmp_path)
    assert slotel("generate", "--out", "out", "--check", cwd=tmp_path).returncode == 0
    rules = tmp_path / "out/prometheus/rules.yaml"
    rules.write_text(rules.read_text() + "# mine\n")
    done = slotel("generate", "--out", "out", "--check", cwd=tmp_path)
    assert done.returncode == 1
    assert "rules.yaml" in done.stderr


def test_importing_the_command_line_imports_neither_click_nor_rich():
    code = "import slotel.cli, sys; print([name for name in ('click', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_help_lists_every_command():
    done = in_a_process("--help", cwd=services.ROOT)
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("validate", "explain", "generate"))


def test_validate_annotates_files_in_a_workflow(tmp_path):
    (tmp_path / "slotel.yaml").write_text("service: shop\nslos:\n  - {name: a, objective: 100%}\n")
    done = slotel("validate", "--format", "github", cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert line.startswith(
        "::error file=slotel.yaml,line=3,title=slotel SLO101::slotel.yaml:3 slos[0].objective: "
    )
    assert "100%25" in line
    (tmp_path / "slotel.yaml").write_text(FINE)
    done = slotel("validate", "--format", "github", cwd=tmp_path)
    assert done.returncode == 0
    assert all(line.startswith("::notice ") for line in done.stdout.splitlines())
