"""The runner fails on an entry of expected.toml that explains nothing any more, as soon as the suite that it names has run."""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("upstream_run", HERE / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ONE = {"suite": ["sentry-flask", "sentry-django"], "mode": "dsn", "reason": "by design"}
EACH = {"suite": "sentry-*", "mode": "dsn", "reason": "by design"}


@pytest.mark.parametrize(
    ("entry", "used", "ran", "needless"),
    [
        (ONE, set(), set(), []),
        (ONE, {"sentry-flask"}, {("sentry-flask", "dsn")}, []),
        (ONE, set(), {("sentry-flask", "start")}, []),
        (ONE, set(), {("sentry-flask", "dsn")}, ["rule 1 in sentry-flask: by design"]),
        (ONE, {"sentry-flask"}, {("sentry-flask", "dsn"), ("sentry-django", "dsn")}, ["rule 1 in sentry-django: by design"]),
        (EACH, set(), {("sentry-flask", "dsn")}, []),
    ],
)  # fmt: skip
def test_an_entry_is_needed_in_each_suite_that_it_names(runner, entry, used, ran, needless):
    assert runner.needless([entry], {(0, name) for name in used}, ran) == needless


def test_an_entry_for_several_suites_is_needed_in_one_of_them(runner):
    ran = {(each.name, "dsn") for each in runner.SUITES}
    assert runner.needless([EACH], set(), ran) == ["rule 1 in sentry-*: by design"]
    assert runner.needless([EACH], {(0, "sentry-celery")}, ran) == []


@pytest.mark.process
def test_a_test_that_does_not_end_is_left_out_and_the_others_are_compared(runner, monkeypatch, tmp_path):
    """One that hangs in a fixture's teardown, after pytest-timeout has raised in the test."""
    monkeypatch.setattr(runner, "CACHE", tmp_path)
    monkeypatch.setattr(runner, "LONGEST", 3.0)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_own.py").write_text(
        "import pytest, threading\n"
        "@pytest.fixture\n"
        "def stands():\n    yield\n    threading.Event().wait()\n"
        "def test_before(): pass\n"
        "class TestOf:\n    @pytest.mark.parametrize('how', ['a.b'])\n    def test_stands(self, how, stands): pass\n"
        "def test_after(): pass\n"
    )
    suite = runner.Suite("own", "own", ("tests",))
    results, hung = runner.run(sys.executable, suite, tmp_path, "off", "")
    assert hung == ["tests/test_own.py::TestOf::test_stands[a.b]"]
    assert {name: result.state for name, result in results.items()} == {
        "tests.test_own::test_before": "passed",
        "tests.test_own::test_after": "passed",
        "tests.test_own.TestOf::test_stands[a.b]": "hung",
    }


def test_each_entry_names_suites_that_there_are(runner):
    import fnmatch

    entries = runner.tomllib.loads((HERE / "expected.toml").read_text())["difference"]
    names = [each.name for each in runner.SUITES]
    for entry in entries:
        for pattern in [entry["suite"]] if isinstance(entry["suite"], str) else entry["suite"]:
            assert fnmatch.filter(names, pattern), pattern
