"""What a start says, and who of a service's processes says it."""

from slotel.runtime.checks.start import unsaid
from slotel.runtime.finding import Finding

NAMELESS = Finding("service", "warn", "the service has no name", "set OTEL_SERVICE_NAME=checkout", "SLO105")
OTHER = Finding("metrics", "info", "bound to localhost", "", "SLO154")


def test_a_spawned_worker_does_not_repeat_what_the_process_above_it_said():
    environ: dict[str, str] = {}
    assert list(unsaid([NAMELESS, OTHER, NAMELESS], environ)) == [NAMELESS, OTHER]
    inherited = dict(environ)
    assert list(unsaid([NAMELESS, OTHER], inherited)) == []
    assert list(unsaid([NAMELESS._replace(text="another")], inherited)) == [NAMELESS._replace(text="another")]


def test_another_service_says_its_own(tmp_path, monkeypatch):
    environ: dict[str, str] = {}
    list(unsaid([NAMELESS], environ))
    monkeypatch.chdir(tmp_path)
    assert list(unsaid([NAMELESS], environ)) == [NAMELESS]


def test_a_program_that_is_started_in_another_folder_does_not_repeat_what_its_environment_decides(
    tmp_path, monkeypatch
):
    """A notebook's kernels run beside their notebooks: each wrote the line of SLO154."""
    environ: dict[str, str] = {}
    list(unsaid([OTHER], environ))
    monkeypatch.chdir(tmp_path)
    assert list(unsaid([OTHER], environ)) == []
