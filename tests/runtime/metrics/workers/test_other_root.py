"""Processes that cannot read slotel's own modules any more: another root directory, a user without the right."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone may call chroot"
)


def ran(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip


ELSEWHERE = """
    import os, sys
    from support.counting import Service
    service = Service({"XDG_RUNTIME_DIR": sys.argv[1]})
    service.count()
    child = os.fork()
    if child == 0:
        os.chroot(sys.argv[2])
        service.count("/", 20)
        service.workers.tick()
        service.total()
        os._exit(sorted(set(service.dropped)) != [("metrics", "run_directory")])
    assert os.waitpid(child, 0)[1] == 0
    service.workers.tick()
    print(service.total())
"""


def test_a_worker_in_another_root_counts_on_and_lacks_no_module(tmp_path):
    """It cannot share anything else there, and says so."""
    (tmp_path / "root").mkdir()
    done = ran("-c", textwrap.dedent(ELSEWHERE), tmp_path, tmp_path / "root")
    assert (done.returncode, done.stdout) == (0, "21.0\n"), done.stderr


UNREADABLE = """
    import os, sys
    from support.counting import Service
    service = Service({"XDG_RUNTIME_DIR": sys.argv[1]})
    service.count()
    os.chroot(sys.argv[2])                             # before slotel has forked: its modules cannot be read any more
    child = os.fork()
    if child == 0:
        service.count("/", 20)
        service.workers.before_fork()
        os._exit(service.total() != 20 or ("metrics", "run_directory") not in service.dropped)
    assert os.waitpid(child, 0)[1] == 0
    service.count()
    print(service.total())
"""


def test_a_process_that_cannot_read_slotels_modules_any_more_counts_in_its_memory_and_says_so(tmp_path):
    """A user who may not read the installation (setuid), or another root, before the first fork."""
    (tmp_path / "root").mkdir()
    done = ran("-c", textwrap.dedent(UNREADABLE), tmp_path, tmp_path / "root")
    assert (done.returncode, done.stdout) == (0, "2.0\n"), done.stderr
