"""The bench harness measures real processes and says what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def harness(monkeypatch):
    """The harness is a folder of scripts: its modules import each other by bare name."""
    names = [path.stem for path in BENCH.glob("*.py")]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(others)


def test_a_short_run_measures_a_bare_and_a_traced_app_and_finds_every_transaction(tmp_path):
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--parts", "requests", "--app", "flask"]
    command += [
        "--variants",
        "native@1.0",
        "--seconds",
        "0.3",
        "--routes",
        "/ok,/work",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "RESULTS.json").read_text())["requests"]
    bare, native = (data["apps"]["flask"][name][0] for name in ("bare", "native@1.0"))
    # a loaded machine may drive late; that is a fault of the machine
    assert [fault for each in (bare, native) for fault in each["faults"] if "paced" not in fault] == []
    assert native["sink"]["transaction"] >= native["sent"] == bare["sent"]
    assert 0 < bare["startup_cpu"] < native["startup_cpu"]
    assert all(route["cpu"] > 0 for each in (bare, native) for route in each["routes"].values())
    table = (tmp_path / "RESULTS.md").read_text()
    assert "| native@1.0 | 1 |" in table
    assert data["metas"]["flask"]["command"] in table


def round_of(cpu: float, **more) -> dict:
    routes = {"/ok": {"cpu": cpu, "sent": 100, "p99_ms": 1.0}}
    return {
        "routes": routes,
        "startup_cpu": cpu,
        "exit_cpu": 0.1,
        "sent": 100,
        "sink": {},
        "faults": [],
        **more,
    }


def test_a_ratio_is_that_of_what_is_added_over_bare_in_the_same_round(harness):
    import report

    rounds = {
        "bare": [round_of(1.0), round_of(2.0), round_of(3.0)],
        "stock@1.0": [round_of(2.0), round_of(3.0), round_of(4.0)],
        "slotel@1.0": [round_of(1.25), round_of(2.25), round_of(3.25)],
    }
    rows = report._target_rows("flask", rounds)
    assert rows[0] == [
        "flask", "added CPU/request, /ok", "slotel@1.0", "stock@1.0", "0.25", "0.25–0.25", "≤ 0.3", "yes",
    ]  # fmt: skip


def test_a_round_in_which_work_was_left_undone_marks_its_ratio(harness):
    import report

    rounds = {
        "bare": [round_of(1.0)],
        "stock@1.0": [round_of(2.0)],
        "slotel@1.0": [round_of(1.2, faults=["3 transactions at the sink, expected 100"])],
    }
    assert report._target_rows("flask", rounds)[0][-1] == "yes, but 1 rounds incomplete"


@pytest.mark.parametrize(
    ("taken", "scraped", "found"),
    [
        ({"transaction": 100, "spans": 100}, 100.0, []),
        ({"transaction": 98, "spans": 100}, 100.0, ["98 transactions at the sink, expected 100"]),
        ({"transaction": 100, "spans": 100}, 0.0, ["metrics report 0.0 of 100 requests"]),
        ({"transaction": 100, "spans": 50}, 100.0, ["50 spans at the sink, expected 100"]),
    ],
)
def test_work_that_a_variant_left_undone_is_a_fault_of_the_round(harness, taken, scraped, found):
    import requests_part
    from variants import VARIANTS

    plan = requests_part.Plan(rounds=1, seconds=1.0, rate=70.0, routes=("/ok",))
    assert requests_part.faults(VARIANTS["stock@1.0"], plan, 100, scraped, taken, 0) == found


def test_a_route_that_was_not_driven_at_its_rate_is_a_fault_of_the_round(harness):
    import requests_part

    plan = requests_part.Plan(rounds=1, seconds=1.0, rate=100.0, routes=("/ok", "/work"))
    routes = {"/ok": {"sent": 100, "seconds": 1.01}, "/work": {"sent": 100, "seconds": 4.4}}
    assert requests_part.slack_pace(routes, plan) == ["/work paced at 23/s"]


def test_no_telemetry_setting_of_the_shell_reaches_a_measured_process(harness):
    from variants import VARIANTS

    shell = {"PATH": "/bin", "OTEL_TRACES_SAMPLER": "always_off", "SENTRY_DSN": "x", "SLOTEL_CONFIG": "x"}
    env = VARIANTS["stock@0.01"].environ(shell, "http://k@127.0.0.1/1", 9464)
    assert "OTEL_TRACES_SAMPLER" not in env
    assert "SLOTEL_CONFIG" not in env
    assert (env["PATH"], env["SENTRY_DSN"]) == ("/bin", "http://k@127.0.0.1/1")
