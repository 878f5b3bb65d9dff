"""Many processes, one service: real forks, real spawns, real kills."""

import contextlib
import multiprocessing
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import tracemalloc
from pathlib import Path

import pytest

from slotel.runtime.metrics.self_metrics import SelfMetrics, Unsent
from slotel.runtime.metrics.workers import compaction, file_reader, runtime_directory
from slotel.runtime.metrics.workers.directories import remove_leftovers
from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory, stems
from slotel.runtime.process.lifecycle import PROCESS
from support import counting
from support.counting import Service

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
VARIABLE = "SLOTEL_RUN_DIR"


@pytest.fixture
def environ(tmp_path):
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def service(environ):
    made = Service(environ)
    yield made
    made.workers.remove_if_last()


def forked(work) -> int:
    """Run work in a forked child; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(*pids: int) -> None:
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0


def files(service: Service, suffix: str = "names") -> set[str]:
    return stems(service.workers.run_dir.names(), suffix)


# -- one process ------------------------------------------------------------------------------------------------


def test_a_plain_process_creates_nothing_and_tells_its_children_where(service, environ) -> None:
    service.count()
    service.workers.tick()
    assert service.total() == 1
    assert not Path(environ[VARIABLE]).exists()
    assert not service.workers.share("app", b"1")


def test_a_plain_process_imports_nothing_for_workers() -> None:
    code = (
        "import sys; from support.counting import Service; s = Service(); s.count(); s.total();"
        "print([m for m in ('mmap', 'slotel.runtime.metrics.workers.mapped_file', 'slotel.runtime.metrics.workers.file_reader') if m in sys.modules])"
    )
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert shown.stdout == "[]\n", shown.stderr


# -- forks ------------------------------------------------------------------------------------------------------


def test_forked_children_count_from_zero_and_any_process_answers_for_all(service) -> None:
    service.count("/parent", 5)
    pids = [forked(lambda: service.count("/child", 10)) for _ in range(3)]
    ended(*pids)
    assert service.calls() == {"/parent": 5, "/child": 30}
    assert service.families()["events"].series["good",][0] == 35
    answered = os.pipe()

    def answer() -> None:
        service.count("/child", 1)
        os.write(answered[1], repr(service.calls()).encode())

    ended(forked(answer))
    assert eval(os.read(answered[0], 1000)) == {"/parent": 5, "/child": 31}


def test_a_child_of_a_child_counts_for_the_same_service(service) -> None:
    def child() -> None:
        service.count("/child")
        ended(forked(lambda: service.count("/grandchild", 2)))

    ended(forked(child))
    assert service.calls() == {"/child": 1, "/grandchild": 2}


def test_a_child_that_counts_nothing_leaves_no_file(tmp_path) -> None:
    place = tempfile.mkdtemp()
    Path(place).chmod(0o777)

    def unprivileged() -> None:
        if os.geteuid() == 0:  # root's children open their files at once: they may become somebody else
            os.setuid(65534)
        service = Service({"XDG_RUNTIME_DIR": place})
        service.count()
        ended(forked(lambda: None))
        assert len(files(service)) == 1
        ended(forked(service.count))
        assert service.total() == 2
        assert len(files(service)) == 2

    ended(forked(unprivileged))
    shutil.rmtree(place)


def test_a_fork_while_threads_count_loses_nothing(service) -> None:
    stop = threading.Event()
    counted = [0, 0]

    def count(index: int) -> None:
        while not stop.is_set():
            service.count("/parent")
            counted[index] += 1

    threads = [threading.Thread(target=count, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # Python 3.12 warns of any fork beside threads
        pids = [forked(lambda: service.count("/child", 3)) for _ in range(8)]
    stop.set()
    for thread in threads:
        thread.join()
    ended(*pids)
    assert service.calls() == {"/parent": sum(counted), "/child": 24}


def test_windows_of_all_workers_are_summed(service) -> None:
    service.count(times=2)
    ended(forked(lambda: service.count(times=3)))
    assert service.ring.sums(time.time(), 300) == [5]
    service.workers.tick()
    time.sleep(1.01)  # what others counted is looked at once a second
    assert service.ring.sums(time.time(), 300) == [5]


def test_exemplars_of_a_worker_are_seen_by_all(service) -> None:
    ids = ((0xABCDEF << 100) | 12345, (1 << 63) | 7)

    def child() -> None:
        service.spans.observe(service.spans.slot(("/",)), 0.5, (), ids)
        service.workers.tick()

    service.count()
    ended(forked(child))
    found = service.families()["spans_duration_seconds"].exemplars["/",]
    assert found[1][:3] == (*ids, 0.5)


# -- spawned ----------------------------------------------------------------------------------------------------


def test_spawned_processes_join_through_the_environment(service, environ, monkeypatch) -> None:
    service.count("/parent", 2)
    monkeypatch.setenv(VARIABLE, environ[VARIABLE])
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=counting.spawned, args=(10, "/child")) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert service.calls() == {"/parent": 2, "/child": 20}


def test_another_service_in_a_child_process_goes_its_own_way(service, environ) -> None:
    inherited = dict(environ)
    other = Service(inherited, service="billing")
    other.count("/billing")
    ended(forked(lambda: other.count("/billing")))
    assert inherited[VARIABLE] != environ[VARIABLE]
    assert other.calls() == {"/billing": 2}
    assert service.calls() == {}
    other.workers.remove_if_last()


def test_a_process_that_execs_itself_stays_the_first_of_its_service(environ) -> None:
    code = (
        "import os, sys; from support.counting import Service; s = Service();"
        "print(s.workers.is_first, os.environ['SLOTEL_RUN_DIR'], flush=True);"
        "os.environ.pop('AGAIN', None) and os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])"
    )
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, env={**os.environ, **environ, "PYTHONPATH": path, "AGAIN": "1"},
    )  # fmt: skip
    first, second = shown.stdout.splitlines()
    assert first == second
    assert first.startswith("True")


EXECS_ITSELF = """
import os, sys
from support.counting import Service

service = Service()
service.count()
child = os.fork()
if not child:
    service.count()
    os._exit(0)
os.waitpid(child, 0)
service.workers.tick()
rest = int(os.environ["REST"])
os.environ["REST"] = str(rest - 1)
if rest:
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
exits = service.families()["slotel_worker_exits"].series.items()
files = [name for name in service.workers.run_dir.names() if name.endswith(".names")]
print(service.total(), {reason: row[0] for (reason,), row in exits if row[0]}, len(files))
service.workers.end()
print(os.path.exists(service.workers.run_dir.path))
"""


def test_a_process_that_execs_itself_leaves_neither_files_nor_an_exit_behind(environ) -> None:
    """As Dramatiq, Huey and Celery do at SIGHUP, uWSGI and Tornado at a reload."""
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    shown = subprocess.run(
        [sys.executable, "-c", EXECS_ITSELF],
        capture_output=True, text=True, env={**os.environ, **environ, "PYTHONPATH": path, "REST": "2"},
    )  # fmt: skip
    assert shown.stdout.splitlines() == ["6.0 {'killed': 3.0} 2", "False"], shown.stderr


def test_a_restart_starts_clean(service, environ) -> None:
    service.count()
    ended(forked(service.count))
    fresh = Service({"XDG_RUNTIME_DIR": environ["XDG_RUNTIME_DIR"]})
    assert fresh.total() == 0


# -- deaths -----------------------------------------------------------------------------------------------------


def test_twenty_kills_under_load_and_a_hundred_snapshots_nothing_lost_nothing_backwards(
    service, environ, monkeypatch
) -> None:
    monkeypatch.setenv(VARIABLE, environ[VARIABLE])
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    command = [sys.executable, "-m", "support.counting"]
    service.count("/parent", 7)

    def start():
        return subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})

    def said(process) -> int:
        """The last total that a dead process wrote."""
        data = process.stdout.read()
        whole = len(data) // 8 * 8
        return int.from_bytes(data[whole - 8 : whole], "little") if whole else 0

    running = [start() for _ in range(3)]
    known, last, kills, snapshots = 7, 0.0, 0, 0
    while kills < 20 or snapshots < 100:
        if snapshots % 4 == 3 and kills < 20:
            victim = running.pop(0)
            while not victim.stdout.peek(8):
                time.sleep(0.01)
            victim.kill()
            victim.wait()
            kills += 1
            known += said(victim)
            victim.stdout.close()
            running.append(start())
        if snapshots % 10 == 9:
            service.workers.tick()
        total = sum(service.calls().values())
        assert total >= last
        assert total >= known
        last = total
        snapshots += 1
    for process in running:
        process.kill()
        process.wait()
        known += said(process)
        process.stdout.close()
    total = sum(service.calls().values())
    # A process may have counted up to 50 that it had not yet told when it was killed.
    assert known <= total <= known + 50 * (kills + 3)
    service.workers.tick()
    assert sum(service.calls().values()) == total
    assert len([stem for stem in files(service) if not stem.startswith("base")]) == 1


def test_many_readers_that_fold_at_once_see_nothing_fall_and_the_sum_is_exact(service) -> None:
    stop = os.pipe()
    os.set_blocking(stop[0], False)

    def observe() -> None:
        last: dict[str, float] = {}
        os.close(stop[1])
        while select.select([stop[0]], [], [], 0.003)[0] == []:
            calls = service.calls()
            assert all(calls.get(route, 0) >= count for route, count in last.items())
            last = calls
            service.workers.tick()

    service.count("/parent")
    expected = 1
    observers = [forked(observe) for _ in range(3)]
    for generation in range(25):
        writers, told = [], os.pipe()
        for number in range(3):

            def write(times=generation + number, dies=number == 0, told=told) -> None:
                os.close(stop[1])
                for at in range(times):
                    service.count(f"/{at % 5}")
                os.write(told[1], b"1")
                if dies:
                    signal.pause()

            writers.append(forked(write))
            expected += generation + number
        for _ in writers:
            os.read(told[0], 1)
        os.kill(writers[0], signal.SIGKILL)
        os.waitpid(writers[0], 0)
        ended(*writers[1:])
        os.close(told[0])
        os.close(told[1])
    os.close(stop[1])
    ended(*observers)
    assert service.total() == expected


def test_a_hundred_short_workers_leave_one_base_and_every_count(service) -> None:
    service.count("/parent")
    most = 0
    for number in range(25):
        ended(*[forked(lambda: service.count("/child", 2)) for _ in range(4)])
        if number % 5 == 4:
            service.workers.tick()
            most = max(most, len(files(service)))
    assert service.calls() == {"/parent": 1, "/child": 200}
    assert most <= 3


def test_compaction_stops_for_a_fork_and_goes_on_at_the_next_tick(service, monkeypatch) -> None:
    service.count("/parent")
    ended(*[forked(lambda: service.count("/child")) for _ in range(20)])
    portions, absorb = [], compaction.Compaction.absorb

    def fork_comes(compacting, dead):
        portions.append(len(dead))
        monkeypatch.setattr(PROCESS, "fork_waits", len(portions) == 2)
        return absorb(compacting, dead)

    monkeypatch.setattr(compaction.Compaction, "absorb", fork_comes)
    service.workers.tick()
    assert portions == [8, 8]
    assert service.calls() == {"/parent": 1, "/child": 20}
    monkeypatch.setattr(PROCESS, "fork_waits", False)
    service.workers.tick()
    assert portions == [8, 8, 4]
    assert service.calls() == {"/parent": 1, "/child": 20}
    assert len(files(service)) == 2


def test_dead_files_that_cannot_be_read_do_not_keep_others_from_being_absorbed(service) -> None:
    service.count("/parent")
    ended(*[forked(lambda: service.count("/child")) for _ in range(3)])
    for number in range(10):  # more than a portion, and the first by name
        (Path(service.workers.run_dir.path) / f"1-{number}-00000000.names").write_bytes(b"no catalogue\n")
    service.workers.tick()
    assert service.calls() == {"/parent": 1, "/child": 3}
    assert len([name for name in files(service) if name.startswith("base")]) == 1


@pytest.mark.parametrize(
    "error", [AttributeError("x"), MemoryError(), RecursionError(), OSError(5, "I/O error")]
)
@pytest.mark.parametrize("step", ["parse", "part"])
def test_a_file_that_breaks_its_reader_hides_no_other_worker(service, monkeypatch, step, error) -> None:
    """Whatever it is that breaks: each file is read on its own."""
    service.count("/parent")
    ended(*[forked(lambda: service.count("/child")) for _ in range(3)])
    broken = min(files(service) - {service.workers.stem})
    parse, part = file_reader.SeriesIndex.parse, file_reader._part
    index = service.workers._reader()._peer(broken).series_index

    def breaks(real, at):
        def call(*values, **named):
            if index in values[at : at + 1]:
                raise error
            return real(*values, **named)

        return call

    if step == "parse":
        monkeypatch.setattr(file_reader.SeriesIndex, "parse", breaks(parse, 0))
    else:
        monkeypatch.setattr(file_reader, "_part", breaks(part, 2))
    is_known = step == "parse" and isinstance(error, OSError)  # by what was read of its catalogue before
    assert service.calls() == {"/parent": 1, "/child": 3 if is_known else 2}
    reason = "unreadable_file" if isinstance(error, OSError) else "corrupt_file"
    assert service.dropped == [("metrics", reason)]


def test_a_folder_that_dies_at_any_step_loses_and_doubles_nothing(service, monkeypatch) -> None:
    """Each system call that changes the directory is the last one of some process that folds."""
    service.count("/parent")
    expected = 1
    for step in range(9):
        ended(forked(lambda: service.count("/child", 3)), forked(lambda: service.count("/child", 4)))
        expected += 7

        def die_at_step(step=step) -> None:
            left = [step]
            real_write, real_remove = RuntimeDirectory.write, os.unlink

            def counted(real):
                def call(*values, **named):
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                    return real(*values, **named)

                return call

            monkeypatch.setattr(RuntimeDirectory, "write", counted(real_write))
            monkeypatch.setattr(os, "unlink", counted(real_remove))
            service.workers.tick()

        pid = forked(die_at_step)
        os.waitpid(pid, 0)
        assert sum(service.calls().values()) == expected, step
        service.workers.tick()
        assert sum(service.calls().values()) == expected, step
    assert len(files(service)) == 2


def test_a_worker_killed_in_the_middle_of_a_write_leaves_a_row_that_counts(service) -> None:
    def die() -> None:
        class Deadly(float):
            def __radd__(self, other):
                os.kill(os.getpid(), signal.SIGKILL)

        slot = service.spans.slot(("/",))
        service.count()
        service.spans.observe(slot, Deadly(0.5))

    os.waitpid(forked(die), 0)
    row = list(service.families()["spans_duration_seconds"].series["/",])
    assert row == [0, 2, 0, 1.0]  # the bucket was counted, its half second was not
    service.workers.tick()
    assert list(service.families()["spans_duration_seconds"].series["/",]) == row


@pytest.mark.parametrize("nowhere", [False, True])
def test_what_a_killed_worker_had_not_sent_is_counted_as_lost_once(service, environ, caplog, nowhere) -> None:
    if nowhere:
        Path(environ["XDG_RUNTIME_DIR"]).rmdir()
    SelfMetrics(service.store)
    unsent = Unsent()
    unsent.count_in(service.store)

    def die(sent: int) -> None:
        service.count()
        unsent.add("traces", 5)
        unsent.add("errors", 2)
        unsent.add("traces", -sent)
        os.kill(os.getpid(), signal.SIGKILL)

    service.count()
    for sent in (0, 5):
        os.waitpid(forked(lambda sent=sent: die(sent)), 0)
        for _ in range(2):
            service.workers.tick()
    dropped = service.families()["slotel_dropped"].series
    assert {labels: row[0] for labels, row in dropped.items() if labels[-1]} == {
        ("traces", "killed"): 5,
        ("errors", "killed"): 4,
    }
    assert "slotel_unsent" not in service.families()
    assert caplog.text.count("lost 5 traces: a process was killed") == 1


def test_the_run_directory_goes_with_the_last_process(service, environ) -> None:
    service.count()
    alive = os.pipe()

    def child() -> None:
        service.count()
        os.write(alive[1], b"1")
        signal.pause()

    pid = forked(child)
    os.read(alive[0], 1)
    service.workers.remove_if_last()
    assert Path(environ[VARIABLE]).exists()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    service.workers.remove_if_last()
    assert not Path(environ[VARIABLE]).exists()


def test_what_a_crashed_service_left_is_removed_at_the_start_of_another(service, environ, tmp_path) -> None:
    def crash() -> None:
        crashed = Service({"XDG_RUNTIME_DIR": str(tmp_path)}, service="crashed")
        crashed.count()
        ended(forked(crashed.count))
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(crash), 0)
    (left,) = [path for path in tmp_path.iterdir() if str(path) != environ[VARIABLE]]
    service.count()
    ended(forked(service.count))
    service.workers.tick()
    assert left.exists(), "it may be one that starts just now"
    os.utime(left, (0, 0))
    assert remove_leftovers(environ, keep=environ[VARIABLE]) == [str(left)]
    assert not left.exists()
    assert Path(environ[VARIABLE]).exists()


def test_the_first_tick_of_a_service_that_forks_removes_what_a_crashed_one_left(
    service, environ, tmp_path
) -> None:
    left = tmp_path / f"slotel-{'0' * 8}-{1 << 23}-1-{'0' * 16}"
    left.mkdir(0o700)
    os.utime(left, (0, 0))
    ended(forked(service.count))
    service.workers.tick()
    assert not left.exists()


def test_a_live_service_is_nobodys_leftover(service, environ) -> None:
    service.count()
    ended(forked(service.count))
    os.utime(environ[VARIABLE], (0, 0))
    assert remove_leftovers(environ, keep="") == []


# -- what else is shared ----------------------------------------------------------------------------------------


def test_files_that_workers_share_are_read_by_all_and_combined_when_they_die(service) -> None:
    service.workers.combine["app"] = lambda blobs: b"+".join(sorted(blobs))
    service.count()
    ready = os.pipe()

    def child(name: bytes) -> None:
        assert service.workers.share("app", b"old")
        assert service.workers.share("app", name)
        os.write(ready[1], b"1")
        signal.pause()

    pids = [forked(lambda name=name: child(name)) for name in (b"a", b"b", b"c")]
    for _ in pids:
        os.read(ready[0], 1)
    shared = service.workers.shared("app")
    assert {one.data for one in shared} == {b"a", b"b", b"c"}
    assert {one.process.pid for one in shared} == set(pids)
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    service.workers.tick()
    assert sorted((one.data, one.is_alive) for one in service.workers.shared("app")) == [
        (b"a+b", False),
        (b"c", True),
    ]
    os.kill(pids[2], signal.SIGKILL)
    os.waitpid(pids[2], 0)
    service.workers.tick()
    assert [one.data for one in service.workers.shared("app")] == [b"a+b+c"]


# -- bad input --------------------------------------------------------------------------------------------------


def test_the_directory_and_its_files_are_private(service, environ) -> None:
    service.count()
    ended(forked(service.count))
    path = Path(environ[VARIABLE])
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


@pytest.mark.parametrize("trap", ["link", "open"])
def test_a_directory_that_is_not_private_is_not_used(trap, service, environ, tmp_path, caplog) -> None:
    path = Path(environ[VARIABLE])
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
        path.chmod(0o777)
    service.count()
    ended(forked(service.count))
    assert service.total() == 1
    assert ("metrics", "run_directory") in service.dropped
    assert "cannot write to" in caplog.text
    assert not list((tmp_path / "elsewhere").iterdir()) if trap == "link" else not list(path.iterdir())


def test_a_run_directory_that_cannot_be_made_is_said_once_and_forked_workers_count_in_inherited_memory(
    service, environ, caplog
) -> None:
    caplog.set_level("INFO", "slotel")
    Path(environ["XDG_RUNTIME_DIR"]).rmdir()
    for _ in range(3):
        service.count()
        ended(forked(service.count))
    assert service.total() == 6
    assert service.dropped == []
    assert caplog.text.count("there is no room for") == 1


def test_a_worker_that_is_not_forked_says_that_it_is_not_seen_where_the_memorys_process_is_gone(
    service, environ, caplog
) -> None:
    def as_if_spawned() -> None:  # it reads the environment, and inherits nothing
        environ[VARIABLE] = f"/proc/{1 << 23}/fd/{Path(environ[VARIABLE]).name}"
        other = Service(environ)
        for _ in range(3):
            other.count()
            other.workers.tick()
        assert (other.total(), other.dropped) == (3, [("metrics", "run_directory")])
        assert caplog.text.count("cannot write to") == 1

    service.count()
    Path(environ["XDG_RUNTIME_DIR"]).rmdir()
    ended(forked(as_if_spawned))
    assert service.total() == 1


def test_a_worker_that_is_not_forked_counts_where_the_others_are_in_memory(
    service, environ, monkeypatch
) -> None:
    """There may be room for it alone, in a place at which none of the others looks."""

    def as_if_spawned() -> None:
        other = Service(environ)
        other.count()
        other.workers.tick()
        assert (other.total(), other.dropped) == (3, [])

    monkeypatch.setattr(RuntimeDirectory, "can_be_made", lambda _directory: False)
    service.count()
    ended(forked(service.count))
    ended(forked(as_if_spawned))
    assert service.total() == 3
    assert list(Path(environ["XDG_RUNTIME_DIR"]).iterdir()) == []


def test_on_a_full_disk_new_series_overflow_and_totals_stay_right(service) -> None:
    import resource

    def child() -> None:
        service.count("/before")
        limit = service.workers._storage._counter_file.cells.nbytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for number in range(2000):
            service.count(f"/{number}")
        assert ("metrics", "disk_full") in service.dropped
        assert service.total() == 2002

    service.count("/parent")
    ended(forked(child))
    assert service.total() == 2002
    assert any(key.endswith("true") for key in service.calls())


def test_a_disk_that_is_full_from_the_start_leaves_a_process_alone(service) -> None:
    import resource

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        ended(forked(grandchild))

    def grandchild() -> None:
        service.count("/child", 2)
        service.workers.tick()
        assert ("metrics", "run_directory") in service.dropped
        assert service.calls() == {"/parent": 1, "/child": 2}

    service.count("/parent")
    ended(forked(child))
    assert service.calls() == {"/parent": 1}
    assert len(files(service, "cells")) <= 2  # of the child, when it is root


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda names, cells: names.write_bytes(b"\x00garbage\n" + names.read_bytes()), "corrupt_file"),
        (lambda names, cells: names.write_bytes(b'{"no": 1}\n'), "foreign_file"),
        (lambda names, cells: names.write_bytes(names.read_bytes().replace(b'"slotel":1', b'"slotel":9')), "other_version"),
        (lambda names, cells: names.write_bytes(names.read_bytes().replace(b'"shop"', b'"shep"')), "other_service"),
        (lambda names, cells: names.write_bytes(names.read_bytes() + b'["row",0,-5,["x"]]\n'), "corrupt_file"),
        (lambda names, cells: os.truncate(cells, 100), "truncated_file"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_skipped_counted_and_named_once(damage, reason, service, environ, caplog) -> None:
    service.count("/parent")
    ended(forked(lambda: service.count("/child")), forked(lambda: service.count("/other")))
    (victim, _) = sorted(files(service) - {service.workers.stem})
    path = Path(environ[VARIABLE])
    damage(path / f"{victim}.names", path / f"{victim}.cells")
    for _ in range(3):
        assert service.total() == 2
        service.workers.tick()
    assert service.dropped == [("metrics", reason)]
    assert caplog.text.count(victim) == 1


def test_foreign_files_in_the_directory_harm_nothing(service, environ) -> None:
    service.count()
    ended(forked(service.count))
    path = Path(environ[VARIABLE])
    (path / "README").write_text("hello")
    (path / "1-1-00000000.names").symlink_to("/etc/passwd")
    os.mkfifo(path / "2-2-00000000.names")
    os.mknod(path / "3-3-00000000.names", stat.S_IFSOCK | 0o600)
    (path / "base-7-00000000.cells").write_bytes(b"x")
    assert service.total() == 2
    service.workers.tick()
    assert service.total() == 2
    assert ("metrics", "foreign_file") in service.dropped


def test_a_file_of_a_terabyte_is_passed_over_and_takes_no_memory(service, environ) -> None:
    service.count()
    ended(forked(service.count))
    path = Path(environ[VARIABLE])
    for name in ("4-4-00000000.names", "4-4-00000000.cells", "5-5-00000000.cells", "4-4-00000000.app"):
        with (path / name).open("wb") as file:
            file.truncate(1 << 40)
    tracemalloc.start()
    try:
        assert service.total() == 2
        service.workers.tick()
        assert service.total() == 2
        assert service.workers.shared("app") == ()
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()
    assert ("metrics", "unreadable_file") in service.dropped


def test_a_shared_file_that_cannot_be_read_hides_no_other(service, environ) -> None:
    service.count()
    ended(forked(lambda: (service.count(), service.workers.share("app", b"x"))))
    path = Path(environ[VARIABLE])
    (path / "4-4-00000000.names").write_bytes(b"")
    os.mkfifo(path / "4-4-00000000.app")
    assert [file.data for file in service.workers.shared("app")] == [b"x"]


def test_label_values_of_every_kind_survive_the_file(service) -> None:
    values = ['a"b\\', "new\nline\r\u2028", "nul\0", "é☃😀", "", "x" * 1_000_000]
    service.count("/parent")
    ended(forked(lambda: [service.count(value) for value in values]))
    expected = {*values[:-1], "x" * 200 + "…(1000000)", "/parent"}
    assert set(service.calls()) == expected
    service.workers.tick()
    assert set(service.calls()) == expected


def test_a_daemon_that_closes_every_descriptor_counts_on_and_harms_no_file_of_the_app(
    service, tmp_path
) -> None:
    def child() -> None:
        service.count("/child")
        os.closerange(3, 256)
        app = [os.open(tmp_path / f"app{number}", os.O_RDWR | os.O_CREAT) for number in range(20)]
        for number in range(2000):
            service.count(f"/{number}")
        assert all(os.fstat(one).st_size == 0 for one in app)
        service.total()

    service.count("/parent")
    ended(forked(child))
    assert service.total() == 2002


def test_counts_whose_files_the_app_has_closed_and_a_cleaner_has_removed_are_written_again(service) -> None:
    def child() -> None:
        service.count("/child", 4)
        own, run_dir = service.workers.stem, service.workers.run_dir
        os.closerange(3, 256)
        run_dir.remove(*(name for name in run_dir.names() if name.startswith(own)))
        service.workers.tick()

    service.count("/parent", 3)
    ended(forked(child))
    assert service.total() == 7


@pytest.mark.parametrize("nowhere", [False, True])
def test_what_an_app_without_standard_output_prints_goes_into_no_file_of_slotels(
    nowhere, environ, monkeypatch
) -> None:
    """A daemon closes 0, 1 and 2, too: the next files that are opened get these numbers."""
    if nowhere:
        monkeypatch.setattr(RuntimeDirectory, "can_be_made", lambda _directory: False)

    def prints() -> None:
        for number in range(500):
            service.count(f"/{number}")
            for standard in (1, 2):
                with contextlib.suppress(OSError):
                    os.write(standard, b"printed by the app\n")

    def daemon() -> None:
        nonlocal service
        os.closerange(0, 256)
        service = Service(environ)
        service.count("/parent")
        ended(forked(prints))
        os._exit(service.total() != 501)

    service = None
    ended(forked(daemon))


OVERFLOW = "/true"  # no route, otel_metric_overflow="true"


def shown(service: Service) -> dict[str, float]:
    """The calls by route; an empty label, which the others have where there is an overflow, is none."""
    return {name.rstrip("/"): value for name, value in service.calls().items()}


def test_a_service_shows_at_most_max_series_and_no_series_falls_or_goes(environ) -> None:
    """Six workers open different and equal series at the same time; then they die, and are folded, one by one."""
    service, bound, each = Service(environ, max_series=60), 60, 40
    service.count("/parent")
    seen: dict[str, float] = {}

    def look(reader: Service = service) -> dict[str, float]:
        calls = shown(reader)
        assert len(calls.keys() - {OVERFLOW}) <= bound
        assert [name for name, value in seen.items() if calls.get(name, -1.0) < value] == []
        seen.update(calls)
        return calls

    def work(worker: int) -> None:
        signal.alarm(30)
        for number in range(each):
            service.count(f"/{worker}/{number}" if number % 4 else f"/all/{number}")
            time.sleep(0.001)
        signal.pause()

    children = [
        forked(lambda worker=worker: work(worker)) for worker in range(6)
    ]  # an alarm ends those that are left
    deadline = time.monotonic() + 20
    while service.total() < 1 + 6 * each and time.monotonic() < deadline:
        look()
    assert sum(look().values()) == 1 + 6 * each
    assert len(seen) == bound + 1, "every place is taken, and the rest overflows"
    other = Service(environ, max_series=bound)
    assert look(other).keys() == look().keys()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        look()
        service.workers.tick()
        assert sum(look().values()) == 1 + 6 * each
    ended(forked(lambda: [service.count(f"/late/{number}") for number in range(5)]))
    assert look()[OVERFLOW] == seen[OVERFLOW] >= 5
    service.workers.remove_if_last()


def test_a_list_of_series_that_a_cleaner_removed_is_written_again(environ) -> None:
    service = Service(environ, max_series=10)
    service.count("/parent")
    ended(forked(lambda: [service.count(f"/{number}") for number in range(20)]))
    before = shown(service)
    (Path(environ[VARIABLE]) / "series").unlink()
    service.workers.tick()
    ended(forked(lambda: service.count("/late")))
    after = shown(service)
    assert after.keys() == before.keys() and sum(after.values()) == 22
    service.workers.remove_if_last()


def test_lines_that_a_full_disk_cut_take_no_place(environ) -> None:
    service = Service(environ, max_series=10)
    service.count("/parent")
    ended(forked(lambda: service.count("/first")))
    with (Path(environ[VARIABLE]) / "series").open("ab") as file:
        file.write(b'\n["spans_duration_seconds",["/cu')
    ended(forked(lambda: [service.count(f"/{number}") for number in range(20)]))
    calls = service.calls()
    assert sum(calls.values()) == 22 and len(calls) == 11
    assert not service.dropped
    service.workers.remove_if_last()


def test_a_path_in_the_environment_that_no_slotel_chose_is_not_used(tmp_path) -> None:
    environ = {VARIABLE: str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    service = Service(environ)
    assert service.workers.is_first
    assert environ[VARIABLE] != str(tmp_path)
    assert runtime_directory.is_of_service(environ[VARIABLE], "shop")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_worker_that_drops_to_another_user_after_the_fork_is_one_of_the_service(service, environ) -> None:
    """As gunicorn --user: root's master and the workers go on to read and to write the same files."""
    told = os.pipe()

    def child() -> None:
        os.setgid(65534)
        os.setuid(65534)
        for number in range(500):
            service.count(f"/{number}")
        service.workers.tick()
        is_shared = service.workers.share("app", b"of the child")
        seen = service.workers.shared("app"), service.total()
        os.write(
            told[1], repr((is_shared, [each.data for each in seen[0]], seen[1], service.dropped)).encode()
        )

    def another() -> None:
        os.setresuid(65534, 65534, 65534)
        service.workers.tick()
        os.write(told[1], repr((service.total(), service.dropped)).encode())

    Path(environ["XDG_RUNTIME_DIR"]).chmod(0o711)
    for parent in Path(environ["XDG_RUNTIME_DIR"]).parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    service.count("/parent")
    service.workers.before_fork()
    assert service.workers.share("app", b"of root") is True
    ended(forked(child))
    assert os.read(told[0], 1000) == repr((True, [b"of root"], 501.0, [])).encode()
    service.workers.tick()  # root's compacts what the child left, in files that the next one reads
    assert [each.data for each in service.workers.shared("app")] == [b"of the child"]
    ended(forked(another))
    assert os.read(told[0], 1000) == repr((501.0, [])).encode()
    assert (service.total(), service.dropped) == (501, [])


def test_files_that_a_cleaner_removed_are_written_again(service, environ) -> None:
    def child() -> None:
        service.count("/child", 2)
        shutil.rmtree(environ[VARIABLE])
        service.count("/child", 3)

    service.count("/parent")
    ended(forked(child))
    service.count("/parent")
    pid = forked(lambda: (service.count("/child"), service.workers.tick()))
    ended(pid)
    service.workers.tick()
    assert service.calls() == {"/parent": 2, "/child": 1}
    child_sees = os.pipe()
    ended(forked(lambda: os.write(child_sees[1], b"%d" % service.total())))
    assert os.read(child_sees[0], 9) == b"3"


def test_a_shared_file_that_a_cleaner_removed_is_written_again_though_its_content_is_the_same(
    service, environ
) -> None:
    ended(forked(lambda: service.count("/child")))  # from now on there is somebody to share with
    assert service.workers.share("app", b"same")
    (shared,) = Path(environ[VARIABLE]).rglob("*.app")
    written = shared.stat().st_ino
    assert service.workers.share("app", b"same")
    assert shared.stat().st_ino == written, "the same content is not written again"
    shared.unlink()
    assert service.workers.share("app", b"same")
    assert shared.read_bytes() == b"same"


def test_eight_threads_count_exactly_in_a_mapped_file_that_grows_while_others_read(service) -> None:
    rounds, threads = 2000, 8
    done = os.pipe()

    def child() -> None:
        def record(worker: int) -> None:
            for number in range(rounds):
                service.count(f"/{worker}/{number % 200}")

        workers = [threading.Thread(target=record, args=(worker,)) for worker in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert service.total() == rounds * threads + 1
        os.write(done[1], b"1")

    service.count("/parent")
    pid = forked(child)
    last = 0.0
    while last < rounds * threads + 1:
        total = service.total()  # checks that each row is whole
        assert total >= last
        last = total
    ended(pid)
    assert service.families()["events"].series["good",][0] == rounds * threads + 1


def test_a_child_that_cannot_allocate_ahead_fills_its_file(service, monkeypatch) -> None:
    """A double: no file system of this machine refuses to allocate."""

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    service.count("/parent")
    ended(forked(lambda: [service.count(f"/{number}") for number in range(1000)]))
    assert service.total() == 1001


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 192 KiB: room for a few small workers."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", place], capture_output=True
    ).returncode:
        pytest.skip("this user may not mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_on_a_really_full_disk_the_service_counts_on_and_shares_again_when_there_is_room(
    small_disk, monkeypatch
) -> None:
    monkeypatch.setattr(runtime_directory, "_ROOM", 0)  # else the next place would be taken
    service = Service({"XDG_RUNTIME_DIR": str(small_disk)})
    service.count("/parent")
    (small_disk / "room").write_bytes(bytes(64 * 1024))

    def greedy() -> None:
        for number in range(1500):
            service.count(f"/{number}")
        assert ("metrics", "disk_full") in service.dropped

    def late() -> None:
        service.count("/late", 2)
        service.workers.tick()
        assert ("metrics", "run_directory") in service.dropped
        assert service.total() == 1503
        (small_disk / "room").unlink()
        service.workers.tick()

    ended(forked(greedy))
    assert service.total() == 1501
    with (small_disk / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    ended(forked(late))
    assert service.total() == 1503
    service.workers.remove_if_last()
