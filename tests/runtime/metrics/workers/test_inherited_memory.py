"""A directory in memory that forked processes inherit: as good as one on a disk, whoever dies or comes at once."""

import errno
import os
import signal
import time

import pytest

from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory
from slotel.runtime.metrics.workers.memory_files import FILES, REGION

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memfd_create")


@pytest.fixture
def memory():
    made = InheritedMemory("/nowhere")
    assert made.create()
    return made


def forked(memory, work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            memory.release_in_child()
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_files_are_whole_while_many_processes_write_replace_and_remove_them(memory):
    """What is read is one of the versions that were written, never of two, never of another file."""

    def work(number):
        until = time.monotonic() + 1
        turn = 0
        while time.monotonic() < until:
            turn += 1
            memory.write(f"{number}.kept", bytes([number]) * (100 + turn % 3000))
            memory.write(f"{number}.gone", b"x" * 500)
            memory.remove(f"{number}.gone")
            for other in memory.names():
                if other.endswith(".kept"):
                    try:
                        data = memory.read(other)
                    except FileNotFoundError:  # replaced meanwhile
                        continue
                    assert set(data) == {int(other.partition(".")[0])}

    pids = [forked(memory, lambda number=number: work(number)) for number in range(1, 6)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 5
    assert sorted(memory.names()) == [f"{number}.kept" for number in range(1, 6)]


def test_a_file_shows_that_its_process_lives_and_no_longer_when_it_was_killed(memory):
    told, tell = os.pipe()

    def live():
        memory.new_file("1-1-00000000.names", shows_life=True).append(b"line\n")
        os.write(tell, b".")
        signal.pause()

    pid = forked(memory, live)
    os.read(told, 1)
    assert memory.is_locked("1-1-00000000.names")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not memory.is_locked("1-1-00000000.names")
    assert memory.read("1-1-00000000.names") == b"line\n"
    own = memory.new_file("2-1-00000000.names", shows_life=True)
    own.append(b"a")
    assert memory.is_locked("2-1-00000000.names"), "to look must not unlock the own file"
    sees = forked(memory, lambda: os._exit(7 if memory.is_locked("2-1-00000000.names") else 8))
    assert os.waitstatus_to_exitcode(os.waitpid(sees, 0)[1]) == 7


def test_a_process_that_dies_before_its_file_is_there_leaves_nothing_and_blocks_no_place(memory):
    def die():
        with memory._claim(shows_life=True):
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(memory, die), 0)
    assert memory.names() == []
    assert memory.new_file("a").index == 0


def test_the_directorys_lock_is_of_one_process_and_dies_with_it(memory):
    told, tell = os.pipe()

    def hold():
        with memory.locked() as is_ours:
            os.write(tell, b"1" if is_ours else b"0")
            signal.pause()

    pid = forked(memory, hold)
    assert os.read(told, 1) == b"1"
    with memory.locked() as is_ours:
        assert not is_ours
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with memory.locked() as is_ours:
        assert is_ours


def test_memory_of_a_file_is_used_again_and_is_zero(memory):
    first = memory.new_file("a")
    first.map(8192)[:3] = b"abc"
    memory.remove("a")
    assert not first.stands()
    with pytest.raises(FileNotFoundError):
        first.read(1, 0)
    again = memory.new_file("b")
    assert again.index == first.index
    assert again.map(4096)[:3] == bytes(3)
    grown = again.map(8192)
    assert grown[:] == bytes(8192)
    grown[0] = 7
    assert again.read(1, 0) == b"\x07"


def test_what_has_no_room_is_refused_as_a_full_disk_refuses_it(memory):
    for number in range(FILES):
        memory.write(str(number), b"")
    with pytest.raises(OSError, match="No space left") as refused:
        memory.new_file("one more")
    assert refused.value.errno == errno.ENOSPC
    memory.remove("7")
    with pytest.raises(OSError, match="too large"):
        memory.new_file("7").map(REGION + 4096)
    assert memory.read("8") == b""


def test_a_daemon_that_closed_the_descriptor_is_told_so_and_nobody_elses_file_is_touched(memory, tmp_path):
    def work():
        file = memory.new_file("a")
        mapped = file.map(4096)
        os.closerange(3, 4096)
        app = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(20)]
        mapped[0] = 1  # what it has it keeps
        for call in (lambda: file.append(b"x"), lambda: memory.write("b", b"x"), lambda: file.map(8192)):
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()
        assert all(os.fstat(each).st_size == 0 for each in app)

    assert os.waitpid(forked(memory, work), 0)[1] == 0
    assert memory.read("a", 0)[0] == 1
