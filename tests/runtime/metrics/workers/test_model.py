"""A model of the worker files: random histories of real processes, against plain addition.

`HISTORIES` sets how many histories are tried; `make reliability` tries a thousand.
"""

import os
import resource
import shutil
import signal
import tempfile
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from support.counting import Service

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
HISTORIES = int(os.environ.get("HISTORIES", "25"))


class Worker:
    """A forked process of the service that does what it is told."""

    def __init__(self, service):
        self.counted = 0
        asked, self.ask = os.pipe()
        self.told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(asked)
            os.close(tell)
            self.do("ready")  # as root it opens its files at once
            return
        try:
            obey(service, asked, tell)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def do(self, command):
        os.write(self.ask, f"{command}\n".encode())
        return float(os.read(self.told, 100))

    def end(self, how):
        if how == "killed":
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.write(self.ask, b"exit\n")
        os.waitpid(self.pid, 0)
        os.close(self.ask)
        os.close(self.told)


def obey(service, asked, tell):
    with os.fdopen(asked) as commands:
        for line in commands:
            command, _, value = line.strip().partition(" ")
            if command == "exit":
                os._exit(0)
            elif command == "count":
                route, number = value.split()
                service.count(route, int(number))
            elif command == "tick":
                service.workers.tick()
            elif command == "fill":  # the disk takes no more than stands there
                place = Path(service.workers.run_dir.path)
                size = max((each.stat().st_size for each in place.iterdir()), default=32768)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            elif command == "room":
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            answer = service.total() if command == "total" else 0
            os.write(tell, f"{answer}".encode())


ROUTES = st.sampled_from(["/", "/a", "/b", "/c", "/d"])


class Files(RuleBasedStateMachine):
    """Never backwards, never doubled; lost is only what decision 0011 names: the dead's, with their directory."""

    def __init__(self):
        super().__init__()
        self.place = tempfile.mkdtemp(prefix="slotel-model-")
        self.service = Service({"XDG_RUNTIME_DIR": self.place})
        self.service.count("/", 1)
        self.own, self.dead = 1, 0
        self.workers = [Worker(self.service) for _ in range(2)]
        for worker in self.workers:
            worker.do("count /a 1")
            worker.counted += 1

    def check(self, reader=None):
        expected = self.own + self.dead + sum(worker.counted for worker in self.workers)
        seen = self.service.total() if reader is None else reader.do("total")
        assert seen == expected

    @precondition(lambda self: len(self.workers) < 5)
    @rule()
    def start(self):
        self.workers.append(Worker(self.service))
        self.check()

    @rule(route=ROUTES, number=st.integers(1, 50))
    def parent_counts(self, route, number):
        self.service.count(route, number)
        self.own += number
        self.check()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), route=ROUTES, number=st.integers(1, 50))
    def count(self, data, route, number):
        worker = data.draw(st.sampled_from(self.workers))
        worker.do(f"count {route} {number}")
        worker.counted += number
        self.check()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def another_takes_over_and_reads(self, data):
        self.check(data.draw(st.sampled_from(self.workers)))

    @precondition(lambda self: self.workers)
    @rule(
        data=st.data(),
        how=st.sampled_from(["killed", "ended"]),
        compacts=st.sampled_from(["parent", "worker", ""]),
    )
    def die(self, data, how, compacts):
        worker = data.draw(st.sampled_from(self.workers))
        self.workers.remove(worker)
        worker.end(how)
        self.dead += worker.counted
        self.check()
        if compacts == "parent":
            self.service.workers.tick()
        elif compacts and self.workers:
            self.workers[0].do("tick")
        self.check()

    @rule()
    def parent_compacts(self):
        self.service.workers.tick()
        self.check()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def a_worker_compacts(self, data):
        worker = data.draw(st.sampled_from(self.workers))
        worker.do("tick")
        self.check()

    @precondition(lambda self: any(worker.counted for worker in self.workers))
    @rule(data=st.data(), number=st.integers(1, 9))
    def the_disk_is_full_for_a_while(self, data, number):
        """Of a process that has counted before; one that has not says that it cannot share."""
        worker = data.draw(st.sampled_from([worker for worker in self.workers if worker.counted]))
        worker.do("fill")
        for route in ("/", "/new1", "/new2"):
            worker.do(f"count {route} {number}")
            worker.counted += number
        self.check()
        worker.do("room")
        self.check()

    @precondition(lambda self: self.service.workers.run_dir.exists())
    @rule()
    def the_directory_is_removed(self):
        shutil.rmtree(self.service.workers.run_dir.path)
        self.dead = 0
        self.service.workers.tick()
        for worker in self.workers:
            worker.do("tick")
        self.check()

    def teardown(self):
        for worker in self.workers:
            worker.end("ended")
        self.service.workers.remove_if_last()
        assert list(Path(self.place).iterdir()) == []
        shutil.rmtree(self.place, ignore_errors=True)


def test_no_history_of_processes_counts_backwards_twice_or_not_at_all():
    run_state_machine_as_test(
        Files,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
