"""A model of the worker files: random histories of real processes, against plain addition.

`HISTORIES` sets how many histories are tried; `make model` tries three thousand.
"""

import os
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from slotel.runtime.metrics.workers import mapped_file
from slotel.runtime.metrics.workers.identity import Process
from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory
from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory
from support.counting import Service

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
HISTORIES = int(os.environ.get("HISTORIES", "15"))
ROUTES = st.sampled_from(["/", "/a", "/b", "/c", "/d"])
NUMBERS = count()


class Worker:
    """A process of the service that does what it is told: a child of the test's, or of another worker's."""

    def __init__(self, service, pipes, parent=None):
        name = pipes / str(next(NUMBERS))
        self.pipes = [f"{name}.ask", f"{name}.told"]
        for path in self.pipes:
            os.mkfifo(path)
        self.ask, self.told = (os.open(path, os.O_RDWR) for path in self.pipes)
        self.counted = 0
        self.is_child = parent is None
        if parent is not None:
            self.pid = int(parent.do(f"fork {name}"))
        else:
            self.pid = fork(service, name)
        self.do("ready")  # as root it opens its files at once

    def do(self, command):
        os.write(self.ask, f"{command}\n".encode())
        waiting = select.poll()
        waiting.register(self.told, select.POLLIN)
        assert waiting.poll(120_000), command
        return float(os.read(self.told, 100))

    def count(self, route, number):
        self.do(f"count {route} {number}")
        self.counted += number

    def end(self, how):
        if how == "killed":
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.write(self.ask, f"{how}\n".encode())
        if self.is_child:
            os.waitpid(self.pid, 0)
        deadline = time.monotonic() + 30
        while not self.is_child and Process(self.pid, 0).is_alive():  # nobody may wait for it
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        for descriptor, path in zip((self.ask, self.told), self.pipes, strict=True):
            os.close(descriptor)
            Path(path).unlink()


def fork(service, name):
    """Fork a worker; return its process number."""
    pid = os.fork()
    if pid == 0:
        try:
            obey(service, name)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def obey(service, name):
    """Do what comes by the pipe."""
    tell = os.open(f"{name}.told", os.O_WRONLY)
    with Path(f"{name}.ask").open() as commands:
        for line in commands:
            command, _, value = line.strip().partition(" ")
            answer = 0
            if command == "exit":
                os._exit(0)
            elif command == "count":
                route, number = value.split()
                service.count(route, int(number))
            elif command == "fork":
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel takes the dead away
                answer = fork(service, value)
            elif command == "tick":
                service.workers.tick()
            elif command.startswith("dies-compacting"):
                die_at(int(command.rpartition("-")[2]))
                service.workers.tick()
                os._exit(0)  # there was less to do
            elif command == "fill":  # the disk takes no more than stands there
                place = Path(service.workers.run_dir.path)
                size = max((each.stat().st_size for each in place.glob("*")), default=0)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            elif command == "room":
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            elif command == "total":
                answer = service.total()
            os.write(tell, f"{answer}".encode())


def die_at(step):
    """Make a system call that changes the directory this process's last."""
    left = [step]

    def counted(real):
        def call(*values, **named):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*values, **named)

        return call

    for directory in (RuntimeDirectory, InheritedMemory):
        directory.write = counted(directory.write)
    InheritedMemory._clear = counted(InheritedMemory._clear)
    os.unlink, os.rename = counted(os.unlink), counted(os.rename)


class Files(RuleBasedStateMachine):
    """Never backwards, never doubled; lost is only what decision 0011 names: the dead's, with their directory."""

    is_in_memory = False

    def __init__(self):
        super().__init__()
        self.place = tempfile.mkdtemp(prefix="slotel-model-")
        self.pipes = Path(tempfile.mkdtemp(prefix="slotel-model-pipes-"))
        self.service = Service({"XDG_RUNTIME_DIR": self.place})
        self.service.count("/", 1)
        self.own, self.dead = 1, 0
        self.workers = [Worker(self.service, self.pipes) for _ in range(2)]
        for worker in self.workers:
            worker.count("/a", 1)
        assert (list(Path(self.place).iterdir()) == []) == self.is_in_memory

    def check(self, reader=None):
        expected = self.own + self.dead + sum(worker.counted for worker in self.workers)
        seen = self.service.total() if reader is None else reader.do("total")
        assert seen == expected

    @precondition(lambda self: len(self.workers) < 6)
    @rule()
    def start(self):
        self.workers.append(Worker(self.service, self.pipes))
        self.check()

    @precondition(lambda self: 0 < len(self.workers) < 6)
    @rule(data=st.data())
    def a_worker_forks(self, data):
        parent = data.draw(st.sampled_from(self.workers))
        self.workers.append(Worker(self.service, self.pipes, parent))
        self.check()

    @rule(route=ROUTES, number=st.integers(1, 50))
    def parent_counts(self, route, number):
        self.service.count(route, number)
        self.own += number
        self.check()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), route=ROUTES, number=st.integers(1, 50))
    def count(self, data, route, number):
        data.draw(st.sampled_from(self.workers)).count(route, number)
        self.check()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def another_takes_over_and_reads(self, data):
        self.check(data.draw(st.sampled_from(self.workers)))

    @precondition(lambda self: self.workers)
    @rule(
        data=st.data(),
        how=st.sampled_from(["killed", "exit"]),
        compacts=st.sampled_from(["parent", "worker", ""]),
    )
    def die(self, data, how, compacts):
        self.ends(data.draw(st.sampled_from(self.workers)), how)
        if compacts == "parent":
            self.service.workers.tick()
        elif compacts and self.workers:
            self.workers[0].do("tick")
        self.check()

    @precondition(lambda self: len(self.workers) > 1)
    @rule(data=st.data(), step=st.integers(0, 9), one_more=st.booleans())
    def dies_while_it_compacts(self, data, step, one_more):
        """What it compacts: those who died before it, and perhaps one more."""
        if one_more:
            self.ends(self.workers[0], "killed")
        worker = data.draw(st.sampled_from(self.workers))
        self.ends(worker, f"dies-compacting-{step}")

    def ends(self, worker, how):
        self.workers.remove(worker)
        worker.end(how)
        self.dead += worker.counted
        self.check()

    @rule()
    def parent_compacts(self):
        self.service.workers.tick()
        self.check()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def a_worker_compacts(self, data):
        data.draw(st.sampled_from(self.workers)).do("tick")
        self.check()

    @precondition(lambda self: any(worker.counted for worker in self.workers))
    @rule(data=st.data(), number=st.integers(1, 9), ticks=st.booleans())
    def the_disk_is_full_for_a_while(self, data, number, ticks):
        """Of a process that has counted before: its rows that find no place are counted in others."""
        worker = data.draw(st.sampled_from([worker for worker in self.workers if worker.counted]))
        worker.do("fill")
        for route in ("/", "/new1", "/new2"):
            worker.count(route, number)
        self.check()
        if ticks:
            worker.do("tick")
            self.check()
        worker.do("room")
        self.check()

    @precondition(lambda self: len(self.workers) < 6)
    @rule(number=st.integers(1, 9))
    def the_disk_has_no_room_for_a_new_worker_for_a_while(self, number):
        """It says that it is not seen; at the first tick with room it is."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # as root it makes its files at once
        try:
            worker = Worker(self.service, self.pipes)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        worker.do(f"count /new3 {number}")
        worker.do("tick")
        self.check()
        worker.do("room")
        worker.do("tick")
        worker.counted = number
        self.workers.append(worker)
        self.check()

    @precondition(lambda self: not self.is_in_memory and self.service.workers.run_dir.exists())
    @rule(first=st.sampled_from(["parent", "worker", "count"]), route=ROUTES)
    def the_directory_is_removed(self, first, route):
        """The dead's counts are gone with it; whoever comes first makes it again."""
        shutil.rmtree(self.service.workers.run_dir.path)
        self.dead = 0
        if first == "count" and self.workers:
            self.workers[0].count(route, 3)
        if first == "worker":
            for worker in self.workers:
                worker.do("tick")
        self.service.workers.tick()
        for worker in self.workers:
            worker.do("tick")
        self.check()

    def teardown(self):
        for worker in self.workers:
            worker.end("exit")
        self.service.workers.remove_if_last()
        assert list(Path(self.place).iterdir()) == []
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.pipes, ignore_errors=True)
        mapped_file._KEPT.clear()  # each history is a service of its own: its maps go with it


class FilesInMemory(Files):
    """The same where nothing can be written: forked processes inherit memory, which nobody can remove."""

    is_in_memory = True


@pytest.mark.parametrize("machine", [Files, FilesInMemory])
def test_no_history_of_processes_counts_backwards_twice_or_not_at_all(machine, monkeypatch):
    if machine.is_in_memory:
        monkeypatch.setattr(RuntimeDirectory, "can_be_made", lambda _directory: False)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
