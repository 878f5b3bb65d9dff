"""Where worker files live, and what becomes of the counts when that place, a lock or a namespace goes wrong."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from slotel.runtime.metrics.workers import runtime_directory
from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory, booted_of, new_path
from support.counting import Service
from support.launch import LAUNCHER, Launched, wait_until


def forked(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def service(tmp_path):
    made = Service({"XDG_RUNTIME_DIR": str(tmp_path)})
    yield made
    made.workers.remove_if_last()


def is_locked_for_others(service):
    code = f"""
        from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory
        print(RuntimeDirectory({service.workers.run_dir.path!r}).is_locked({service.workers.stem + ".names"!r}))
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    return done.stdout == "True\n"


def test_a_process_that_compacts_and_reads_its_own_files_keeps_the_lock_that_says_it_lives(service):
    """A POSIX record lock goes with any close of the file by its process."""
    service.count()
    forked(lambda: service.count("/child", 5))
    assert is_locked_for_others(service)
    service.workers.tick()
    assert is_locked_for_others(service)
    assert service.total() == 6


def test_a_dead_process_is_not_locked_though_a_child_of_its_own_lives(service):
    """A lock belongs to the open file, of which a forked child has a copy until it closes it."""
    service.count()
    told, tell = os.pipe()
    ended, end = os.pipe()  # one of its own: whoever reads the other takes what was told
    middle = os.fork()
    if middle == 0:
        service.count("/middle")
        stem = service.workers.stem
        if os.fork():
            os.write(tell, stem.encode())
            os._exit(0)
        os.close(end)
        os.read(ended, 1)  # blocks until the test closes it
        os._exit(0)
    os.waitpid(middle, 0)
    stem = os.read(told, 100).decode()
    deadline = time.monotonic() + 30  # the youngest may not have run yet
    while locked := RuntimeDirectory(service.workers.run_dir.path).is_locked(f"{stem}.names"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not locked
    for each in (end, ended, told, tell):
        os.close(each)
    assert service.total() == 2


OTHER = """
import os, sys
from support.counting import Service
service = Service(os.environ)
service.count("/b", 100)
child = os.fork()
if child == 0:
    service.count("/c", 5); os._exit(0)
os.waitpid(child, 0)
service.workers.tick()
print("ready", flush=True)
sys.stdin.readline()
service.workers.tick()
print(service.total(), flush=True)
sys.stdin.readline()
"""


def test_processes_in_two_pid_namespaces_do_not_bury_each_other(tmp_path):
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    if subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True).returncode:
        pytest.skip("this user may not make a PID namespace")
    service = Service(environ)
    service.count("/a", 1)
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", OTHER]
    other = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "ready\n"
    totals = [service.total()]
    service.workers.tick()
    totals.append(service.total())
    other.stdin.write("\n")
    other.stdin.flush()
    totals.append(float(other.stdout.readline()))
    totals.append(service.total())
    other.communicate("\n")
    service.workers.tick()
    totals.append(service.total())
    assert totals == [106] * 5
    service.workers.remove_if_last()


def test_when_the_whole_directory_is_removed_the_living_write_their_counts_again(service):
    service.count("/parent", 3)
    asked, ask = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        service.count("/child", 4)
        os.write(tell, b".")
        os.read(asked, 1)
        service.workers.tick()
        os.write(tell, b".")
        os.read(asked, 1)
        os._exit(0)
    os.read(told, 1)
    assert service.total() == 7
    shutil.rmtree(service.workers.run_dir.path)
    service.workers.tick()
    os.write(ask, b".")
    os.read(told, 1)
    assert service.total() == 7
    service.count("/parent")
    assert service.total() == 8
    os.write(ask, b".")
    os.waitpid(child, 0)
    assert service.total() == 8
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 of descriptors
    for _ in range(3):
        shutil.rmtree(service.workers.run_dir.path)
        service.workers.tick()
    after = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 likewise
    assert after - before <= 3, (
        "the removed files are closed, but for the copy that each map keeps on purpose"
    )


def test_a_process_that_was_taken_for_dead_does_not_count_twice(service, monkeypatch, caplog):
    """Another container's process without its lock looks dead: what it counted by then is in the compacted file."""
    service.count("/parent", 3)
    asked, ask = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        service.count("/child", 4)
        os.write(tell, b".")
        os.read(asked, 1)
        service.workers.tick()
        service.count("/child", 2)
        os.write(tell, b"!" if ("metrics", "taken_for_dead") in service.dropped else b"?")
        os.read(asked, 1)
        os._exit(0)
    os.read(told, 1)
    with monkeypatch.context() as patched:
        patched.setattr(
            "slotel.runtime.metrics.workers.compaction.is_alive",
            lambda _dir, stem: stem == service.workers.stem,
        )
        service.workers.tick()
    assert service.total() == 7
    os.write(ask, b".")
    assert os.read(told, 1) == b"!"
    assert service.total() == 9
    os.write(ask, b".")
    os.waitpid(child, 0)


def test_the_place_with_room_is_taken(tmp_path, monkeypatch):
    """`/dev/shm` of a container may have 64 kB."""
    first = str(tmp_path)
    free = os.statvfs_result((4096, 4096, 100, 16, 16, 1000, 1000, 1000, 0, 255))
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda place: free if str(place) == first else real(place))
    assert not new_path({"XDG_RUNTIME_DIR": first}, "x").startswith(first)
    monkeypatch.setattr(os, "statvfs", lambda place: free)
    assert new_path({"XDG_RUNTIME_DIR": first}, "x").startswith(first), "where none has room, the first"


def test_where_nothing_can_be_written_forked_workers_are_counted_dead_or_alive(monkeypatch):
    monkeypatch.setattr(runtime_directory, "candidate_directories", lambda _environ: iter(()))
    monkeypatch.setattr(
        runtime_directory.Path,
        "mkdir",
        lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")),
    )
    service = Service({})
    service.count()
    read, write = os.pipe()

    def child():
        service.count("/child", 2)
        forked(lambda: service.count("/grandchild", 3))
        os.write(write, f"{service.total():>5}".encode())

    for _ in range(2):
        forked(child)
    assert [float(os.read(read, 5)) for _ in range(2)] == [6, 11], "every process reads all"
    service.workers.tick()
    assert service.total() == 11
    assert service.dropped == []
    os.close(read)
    os.close(write)


SPAWNED = """
import multiprocessing
from slotel.runtime.metrics.workers import runtime_directory
from support.counting import Service

runtime_directory.candidate_directories = lambda _environ: iter(())

def work(queue):
    service = Service()
    service.count("/child", 2)
    queue.put((service.total(), service.dropped))

if __name__ == "__main__":
    service = Service()
    service.count("/parent")
    for method in ("spawn", "forkserver", "fork", "spawn"):
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        child = context.Process(target=work, args=(queue,))
        child.start()
        child.join()
        print(method, queue.get(), service.total(), service.dropped)
"""


def test_where_nothing_can_be_written_processes_that_are_not_forked_count_in_the_same_memory(tmp_path):
    (tmp_path / "spawned.py").write_text(SPAWNED)
    done = ran(tmp_path / "spawned.py")
    assert done.stdout.splitlines() == [
        "spawn (3.0, []) 3.0 []", "forkserver (5.0, []) 5.0 []", "fork (7.0, []) 7.0 []", "spawn (9.0, []) 9.0 []",
    ], done.stderr  # fmt: skip


NOWHERE = """
set -e
mount --make-rprivate /
for place in $PLACES; do mount --bind $place $place; mount -o bind,remount,ro $place; done
mount -t tmpfs -o size=64k none /dev/shm
exec "$@"
"""
"""Everything is read-only but a /dev/shm of 64 kB: gunicorn itself wants a file."""


@pytest.mark.process
@pytest.mark.parametrize(
    "options",
    [(), ("--preload",), ("--max-requests", "20", "--max-requests-jitter", "9")],
    ids=["plain", "preload", "recycled"],
)
def test_a_prefork_service_that_can_write_nowhere_is_counted_exactly(options):
    places = " ".join(place for place in ("/tmp", "/var/tmp", str(Path.cwd())) if Path(place).is_dir())
    nowhere = ["unshare", "--mount", "sh", "-c", NOWHERE, "sh"]
    env = {"PLACES": places, "XDG_RUNTIME_DIR": "/tmp"}
    if subprocess.run([*nowhere, "true"], env={**os.environ, **env}, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    command = (
        *nowhere,
        str(LAUNCHER),
        "gunicorn",
        "--workers",
        "3",
        "--worker-tmp-dir",
        "/dev/shm",
        *options,
    )
    bind = ("--bind", "127.0.0.1:{port}", "flask_app:app")
    with Launched(*command, *bind, launcher=False, env=env) as launched:
        launched.wait_ready()
        assert {launched.get("/ok")[0] for _ in range(61)} == {200}

        def counted():
            calls = launched.sample("traces_span_metrics_calls_total", span_name="GET /ok")
            return calls, launched.sample("orders_total")

        wait_until(lambda: counted() == (61, 61), "every request and the app's own counter", 30)
        assert launched.samples("slotel_dropped_total") == []
        assert launched.said("count in memory that they share")
        assert launched.log.count("count in memory that they share") == 1


def test_the_processes_of_a_path_agree_on_the_time():
    assert booted_of(new_path({}, "x", 1_700_000_000.9)) == 1_700_000_000
    assert booted_of("/tmp/slotel-01234567-1-2-0123456789abcdef") is None


COUNTS_ON = """
    import os, sys
    from support.counting import Service
    service = Service({"XDG_RUNTIME_DIR": sys.argv[1]})
    service.count("/parent", 3)
    told, tell = os.pipe()
    asked, ask = os.pipe()
    child = os.fork()
    exec(sys.argv[2])
    if child == 0:
        for number in range(300):
            service.count(f"/{number}")                # of several pages
        os.write(tell, b".")
        os.read(asked, 1)
        for number in range(400):
            service.count(f"/{number}")                # and of new ones
        service.workers.tick()
        for number in range(400):
            service.count(f"/{number}")
        os.write(tell, b".")
        os.read(asked, 1)
        os._exit(0)
    os.read(told, 1)
    before = service.total()
    for place in os.scandir(service.workers.run_dir.path):
        os.truncate(place, 0)
    os.write(ask, b".")
    os.read(told, 1)
    service.count("/parent", 5)
    service.workers.tick()
    service.count("/parent", 2)
    print(before, service.total(), sorted(set(service.dropped)))
    os.write(ask, b".")
    assert os.waitpid(child, 0)[1] == 0
    service.workers.tick()
    print(service.total())
"""


ENABLED = "import faulthandler; faulthandler.enable()"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's structures")
@pytest.mark.parametrize("app", ["", ENABLED, f"{ENABLED}; faulthandler.disable()"])
def test_who_truncates_the_files_of_a_service_ends_none_of_its_processes(tmp_path, app):
    """What a process counted since is right; what stood in the files is lost, and it says so."""
    done = ran("-c", textwrap.dedent(COUNTS_ON), tmp_path, app)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["303.0 807.0 [('metrics', 'truncated_file')]", "807.0"]
    assert done.stderr.count("were truncated, or the disk fails") == 2
    assert "Fatal" not in done.stderr


APPS_OWN = """
    import mmap, os, signal, sys
    from support.counting import Service
    service = Service({"XDG_RUNTIME_DIR": sys.argv[1]})
    service.count()
    service.workers.before_fork()
    exec(sys.argv[2])
    print(service.total(), flush=True)
    if sys.argv[3] == "sent":
        os.kill(os.getpid(), signal.SIGBUS)
        print("not reached", flush=True)
    own = os.open(sys.argv[1] + "/own", os.O_RDWR | os.O_CREAT)
    os.ftruncate(own, 4096)
    mapped = mmap.mmap(own, 4096)
    os.ftruncate(own, 0)
    mapped[0] = 1
    print("not reached", flush=True)
"""


@pytest.mark.parametrize("how", ["sent", "fault"])
@pytest.mark.parametrize(("app", "says"), [("", 0), (ENABLED, 1), (f"{ENABLED}; faulthandler.disable()", 0)])
def test_a_bus_error_of_the_apps_own_ends_it_as_without_slotel(tmp_path, app, says, how):
    done = ran("-c", textwrap.dedent(APPS_OWN), tmp_path, app, how)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "1.0\n")
    assert done.stderr.count("Fatal Python error: Bus error") == says


def ran(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
