"""A model of the worker files: random histories of real processes, against plain addition.

`HISTORIES` sets how many histories are tried; `make model` tries three thousand.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from slotel.runtime.metrics.workers.identity import Process
from support.launch import clean_environ

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
HISTORIES = int(os.environ.get("HISTORIES", "15"))
ROUTES = st.sampled_from(["/", "/a", "/b", "/c", "/d"])
NUMBERS = count()
IN_MEMORY = "/dev/shm"
TESTS = Path(__file__).parents[3]


class Told:
    """A process that does what it is told: one that a test starts, or one that such a process forks."""

    def __init__(self, pipes, start):
        name = pipes / str(next(NUMBERS))
        self.pipes = [f"{name}.ask", f"{name}.told"]
        for path in self.pipes:
            os.mkfifo(path)
        self.ask, self.told = (os.open(path, os.O_RDWR) for path in self.pipes)
        self.counted = 0
        self.pid = int(start(name))

    def do(self, command):
        os.write(self.ask, f"{command}\n".encode())
        waiting = select.poll()
        waiting.register(self.told, select.POLLIN)
        assert waiting.poll(120_000), command
        return os.read(self.told, 1000).decode()

    def count(self, route, number):
        self.do(f"count {route} {number}")
        self.counted += number

    def end(self, how):
        if how == "killed":
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.write(self.ask, f"{how}\n".encode())
        deadline = time.monotonic() + 60
        while Process(self.pid, 0).is_alive():  # nobody waits for it
            assert time.monotonic() < deadline
            time.sleep(0.0002)
        for descriptor, path in zip((self.ask, self.told), self.pipes, strict=True):
            os.close(descriptor)
            Path(path).unlink()


@pytest.fixture(scope="module")
def root():
    """The small process whose children all are."""
    pipes = Path(
        tempfile.mkdtemp(prefix="slotel-model-pipes-", dir=IN_MEMORY if Path(IN_MEMORY).is_dir() else None)
    )
    started = []

    def start(name):
        command = [sys.executable, "-m", "support.obedient", str(name)]
        started.append(subprocess.Popen(command, env=clean_environ() | {"PYTHONPATH": str(TESTS)}))
        return started[0].pid

    made = Told(pipes, start)
    made.place = pipes
    yield made
    made.end("exit")
    started[0].wait()
    shutil.rmtree(pipes)


class Files(RuleBasedStateMachine):
    """Never backwards, never doubled; lost is only what decision 0011 names: the dead's, with their directory."""

    root = None
    is_in_memory = False

    def __init__(self):
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="slotel-model-", dir=self.root.place))
        self.first = self.begun(self.root, "-")
        self.first.count("/", 1)
        self.dead, self.workers = 0, []
        for _ in range(2):
            self.start()
            self.workers[-1].count("/a", 1)
        assert (list(self.place.iterdir()) == []) == self.is_in_memory

    def forked(self, parent):
        return Told(self.root.place, lambda name: parent.do(f"fork {name}"))

    def begun(self, parent, path):
        """Return a process that is no child of the service's, and joins it where the path says."""
        made = self.forked(parent)
        made.do(f"serve {self.place} {self.is_in_memory} {path}")
        return made

    @property
    def living(self):
        return [self.first, *self.workers] if self.first is not None else self.workers

    def check(self, reader=None):
        expected = self.dead + sum(process.counted for process in self.living)
        assert float((reader or self.living[0]).do("total")) == expected

    @precondition(lambda self: len(self.workers) < 6)
    @rule(data=st.data())
    def a_process_forks(self, data):
        self.workers.append(self.forked(data.draw(st.sampled_from(self.living))))
        self.workers[-1].do("ready")  # as root it opens its files at once
        self.check()

    @precondition(lambda self: self.first is not None and len(self.workers) < 6)
    @rule()
    def start(self):
        self.workers.append(self.forked(self.first))
        self.workers[-1].do("ready")
        self.check()

    @precondition(lambda self: len(self.workers) < 6 and (self.first is not None or not self.is_in_memory))
    @rule(number=st.integers(0, 9))
    def one_is_spawned(self, number):
        """It inherits nothing but the path."""
        self.workers.append(self.begun(self.root, self.living[0].do("path")))
        if number:
            self.workers[-1].count("/spawned", number)
        self.check()

    @rule(data=st.data(), route=ROUTES, number=st.integers(1, 50))
    def count(self, data, route, number):
        data.draw(st.sampled_from(self.living)).count(route, number)
        self.check()

    @rule(data=st.data())
    def another_reads(self, data):
        self.check(data.draw(st.sampled_from(self.living)))

    @precondition(lambda self: len(self.living) > 1)
    @rule(
        data=st.data(),
        how=st.sampled_from(["killed", "exit"]),
        compacts=st.sampled_from(["first", "last", ""]),
    )
    def die(self, data, how, compacts):
        self.ends(data.draw(st.sampled_from(self.workers)), how)
        if compacts:
            self.living[0 if compacts == "first" else -1].do("tick")
        self.check()

    @precondition(lambda self: len(self.workers) > 1 and len(self.living) > 2)
    @rule(data=st.data(), step=st.integers(0, 9), one_more=st.booleans())
    def dies_while_it_compacts(self, data, step, one_more):
        """What it compacts: those who died before it, and perhaps one more."""
        if one_more:
            self.ends(self.workers[0], "killed")
        self.ends(data.draw(st.sampled_from(self.workers)), f"dies-compacting {step}")

    def ends(self, worker, how):
        self.workers.remove(worker)
        worker.end(how)
        self.dead += worker.counted
        self.check()

    @precondition(lambda self: self.first is not None and self.workers)
    @rule(how=st.sampled_from(["killed", "exit", "end"]))
    def the_first_dies(self, how):
        """Who forked the others, and would remove the directory at the end; another reads, compacts and forks."""
        self.first.end(how)
        self.dead += self.first.counted
        self.first = None
        self.check()

    @rule(data=st.data())
    def one_compacts(self, data):
        data.draw(st.sampled_from(self.living)).do("tick")
        self.check()

    @precondition(lambda self: any(process.counted for process in self.living))
    @rule(data=st.data(), number=st.integers(1, 9), ticks=st.booleans())
    def the_disk_is_full_for_a_while(self, data, number, ticks):
        """Of a process that has counted before: its rows that find no place are counted in others."""
        process = data.draw(st.sampled_from([each for each in self.living if each.counted]))
        process.do("fill")
        for route in ("/", "/new1", "/new2"):
            process.count(route, number)
        self.check()
        if ticks:
            process.do("tick")
            self.check()
        process.do("room")
        self.check()

    @precondition(lambda self: len(self.workers) < 6)
    @rule(number=st.integers(1, 9))
    def the_disk_has_no_room_for_a_new_worker_for_a_while(self, number):
        """It says that it is not seen; at the first tick with room it is."""
        parent = self.living[0]
        parent.do("fill 0")  # as root the child makes its files at once
        worker = self.forked(parent)
        worker.do("ready")
        parent.do("room")
        worker.do(f"count /new3 {number}")
        worker.do("tick")
        self.check()
        worker.do("room")
        worker.do("tick")
        worker.counted = number
        self.workers.append(worker)
        self.check()

    @precondition(lambda self: not self.is_in_memory)
    @rule(first=st.sampled_from(["first", "last", "count"]), route=ROUTES)
    def the_directory_is_removed(self, first, route):
        """The dead's counts are gone with it; whoever comes first makes it again."""
        shutil.rmtree(self.living[0].do("path"), ignore_errors=True)
        self.dead = 0
        if first == "count":
            self.living[-1].count(route, 3)
        for process in self.living if first == "first" else reversed(self.living):
            process.do("tick")
        self.check()

    @precondition(lambda self: not self.is_in_memory)
    @rule(data=st.data(), route=ROUTES, number=st.integers(0, 3))
    def the_files_of_one_are_truncated(self, data, route, number):
        """What it had counted is lost; what it counts afterwards is not, and nobody is ended."""
        process = data.draw(st.sampled_from(self.living))
        for file in Path(process.do("path")).glob(f"{process.pid}-*.cells"):
            os.truncate(file, 0)
            process.counted = 0
        if number:
            process.count(route, number)
        process.do("tick")
        self.check()

    def teardown(self):
        for process in [*self.workers, *([self.first] if self.first is not None else [])]:
            process.end("end")
        assert self.first is None or list(self.place.iterdir()) == []
        shutil.rmtree(self.place)


class FilesInMemory(Files):
    """The same where nothing can be written: forked processes inherit memory, which nobody can remove."""

    is_in_memory = True


@pytest.mark.parametrize("machine", [Files, FilesInMemory])
def test_no_history_of_processes_counts_backwards_twice_or_not_at_all(machine, root):
    machine.root = root
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
