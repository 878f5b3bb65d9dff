"""The processes of a service side by side: who did what, who was recycled, who was killed; of a real gunicorn."""

import os
import re
import signal
import sys
import urllib.request

import pytest

from support.launch import Launched, wait_until

pytestmark = pytest.mark.real

GUNICORN = (
    sys.executable,
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--workers",
    "2",
    "--graceful-timeout",
    "5",
)
REQUESTS = "slotel_worker_requests_total"
EXITS = "slotel_worker_exits_total"


def by_worker(service, name=REQUESTS):
    return {labels["worker"]: value for labels, value in service.samples(name)}


def pids(service):
    """The workers' processes, as each says in its log."""
    return [int(found) for found in re.findall(r"Booting worker with pid: (\d+)", service.log)]


def page(service):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/") as answer:
        return answer.read().decode()


@pytest.fixture
def service():
    with Launched(*GUNICORN, "flask_app:app") as running:
        running.wait_ready("/ok")
        yield running


def test_each_worker_has_its_requests_and_their_sum_is_the_services(service):
    def both_serve():
        for _ in range(20):
            service.get("/ok")
        return len([each for each in by_worker(service).values() if each]) == 2

    wait_until(both_serve, "both workers have served")
    service.get("/error")
    every = service.sample("traces_span_metrics_calls_total", span_kind="SPAN_KIND_SERVER")
    assert sum(by_worker(service).values()) == every
    assert sum(by_worker(service, "slotel_worker_errors_total").values()) == 1
    assert by_worker(service).keys() == {"0", "1"}, "gunicorn's own process serves nothing"
    assert by_worker(service, "slotel_worker_resident_memory_bytes").keys() == {"main", "0", "1"}
    assert min(by_worker(service, "slotel_worker_resident_memory_bytes").values()) > 10_000_000
    assert min(by_worker(service, "slotel_worker_busy_seconds_total").values()) > 0
    assert service.sample("slotel_workers") == 2
    assert {labels["reason"]: value for labels, value in service.samples(EXITS)} == {"exited": 0, "killed": 0}


def test_a_killed_worker_is_counted_as_killed_and_the_next_one_takes_its_number(service):
    def all_serve():
        for _ in range(20):
            service.get("/ok")
        return by_worker(service).keys() == {"0", "1"}

    wait_until(all_serve, "both workers have served")
    victim = wait_until(lambda: pids(service), "the log names the workers")[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: service.sample(EXITS, reason="killed") == 1, "the killed worker is counted")
    wait_until(all_serve, "its successor serves under the number that was free")
    assert service.sample(EXITS, reason="exited") == 0
    text = page(service)
    assert "<dt>killed</dt><dd>1</dd>" in text and f"<td>{victim}</td>" not in text


def test_recycled_workers_are_counted_and_leave_no_series():
    """Fifty requests and more, ten a worker: the labels stay 0 and 1."""
    with Launched(*GUNICORN, "--max-requests", "10", "flask_app:app") as running:
        running.wait_ready("/ok")

        def recycled():
            for _ in range(10):
                try:
                    running.get("/ok")
                except OSError:
                    continue  # gunicorn closes the connection of a worker that leaves
            return running.sample(EXITS, reason="exited") >= 3

        wait_until(recycled, "three workers were recycled")
        assert running.sample(EXITS, reason="killed") == 0
        assert by_worker(running).keys() <= {"0", "1", "2"}, (
            "an old and a new worker live side by side for a moment"
        )
