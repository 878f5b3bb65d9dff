"""What reads slotel.yaml is forgotten after a start: the memory is the app's, and so is ruamel.yaml."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from slotel.runtime.setup.forget import forgetting
from support.launch import clean_environ

STARTED = """
import gc, sys, weakref
import slotel.runtime.setup.forget as forget
from slotel.config.load import read_configuration
with forget.forgetting(forget.YAML_READERS):
    reading = read_configuration({"SLOTEL_CONFIG": sys.argv[1]})
assert not reading.problems, reading.problems
left = [name for name in sys.modules if name.startswith("ruamel.yaml")]
assert not left, left
assert gc.get_freeze_count() == 0
again = read_configuration({"SLOTEL_CONFIG": sys.argv[1]})
assert again.service == reading.service
import io
import ruamel.yaml
from ruamel.yaml.comments import CommentedMap
tree = ruamel.yaml.YAML().load("a: 1 # one\\nb: [x, 0x1F, 1.50]\\n")
assert type(tree) is CommentedMap
written = io.StringIO()
ruamel.yaml.YAML().dump(tree, written)
assert written.getvalue() == "a: 1 # one\\nb: [x, 0x1F, 1.50]\\n"
"""

FILE = """
version: 1
service: shop
tags: {set: {region: "eu"}, required: {team: {allowed: [a, b], default: a}}, metric_labels: [team]}
slos:
  - {name: availability, objective: 99.9%}
  - {name: latency, objective: 99.5%, latency: 0.25s, period: month}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules and one beside it that are imported nowhere else."""
    gc.unfreeze()  # what the tests have frozen
    (tmp_path / "onceread").mkdir()
    (tmp_path / "onceread" / "__init__.py").write_text("from onceread import inner\n")
    (tmp_path / "onceread" / "inner.py").write_text("class Read: ...\n")
    (tmp_path / "oncereader.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("onceread", "onceread.inner", "oncereader"):
        sys.modules.pop(name, None)


@pytest.fixture
def alone(monkeypatch):
    """As in a process that starts: other tests' threads in this one import none of it."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.usefixtures("package", "alone")
def test_what_is_imported_in_the_block_is_freed_at_its_end_and_imported_anew_later():
    with forgetting(("onceread",)):
        import onceread.inner
        import oncereader  # noqa: F401

        freed = weakref.ref(onceread.inner.Read)
        del onceread
    assert freed() is None
    assert not {"onceread", "onceread.inner"} & sys.modules.keys()
    assert "oncereader" in sys.modules
    import onceread

    assert onceread.inner.Read is sys.modules["onceread.inner"].Read


@pytest.mark.usefixtures("package")
def test_a_module_that_the_process_has_already_stays():
    import onceread.inner

    with forgetting(("onceread",)):
        pass
    assert sys.modules["onceread"] is onceread
    assert sys.modules["onceread.inner"] is onceread.inner


@pytest.mark.usefixtures("package")
def test_nothing_is_forgotten_that_another_thread_may_be_importing():
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with forgetting(("onceread",)):
            import onceread  # noqa: F401
        assert "onceread" in sys.modules
    finally:
        over.set()
        other.join()


@pytest.mark.usefixtures("package")
def test_what_the_app_has_frozen_stays_frozen():
    gc.freeze()
    try:
        with forgetting(("onceread",)):
            import onceread  # noqa: F401
        assert gc.get_freeze_count()
        assert "onceread" in sys.modules
    finally:
        gc.unfreeze()


@pytest.mark.usefixtures("package", "alone")
def test_a_failure_in_the_block_is_raised_and_leaves_nothing_frozen():
    def read():
        with forgetting(("onceread",)):
            import onceread  # noqa: F401

            raise ValueError("no file")

    with pytest.raises(ValueError, match="no file"):
        read()
    assert "onceread" not in sys.modules
    assert gc.get_freeze_count() == 0


def test_a_start_leaves_no_reader_of_yaml_behind_and_the_app_reads_yaml_as_ever(tmp_path):
    file = tmp_path / "slotel.yaml"
    file.write_text(FILE)
    subprocess.run(
        [sys.executable, "-c", STARTED, str(file)],
        env=clean_environ(),
        check=True,
        timeout=60,
    )


def test_a_service_that_is_started_has_no_reader_of_yaml(tmp_path):
    file = tmp_path / "slotel.yaml"
    file.write_text(FILE)
    code = "import sys; print(sorted(name for name in sys.modules if name.startswith(('ruamel.yaml', 'slotel.config.file.'))))"
    done = subprocess.run(
        ["opentelemetry-instrument", sys.executable, "-c", code],
        env=clean_environ(SLOTEL_CONFIG=str(file), OTEL_EXPORTER_PROMETHEUS_PORT="0"),
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[-2] == "['slotel.config.file.parsers']", done.stderr
