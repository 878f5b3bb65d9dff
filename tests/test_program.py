"""support.program: what a test starts is gone when it has ended it."""

import signal
import subprocess
import sys

import psutil
import pytest

from support.launch import wait_until
from support.program import Program

STARTS = f"""
import signal, subprocess, sys, time
signal.signal({int(signal.SIGTERM)}, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.process
def test_a_program_that_does_not_end_in_its_time_is_killed_with_what_it_has_started():
    program = Program()
    program.start_process([sys.executable, "-c", STARTS], stdin=subprocess.DEVNULL)
    started = psutil.Process(int(wait_until(lambda: program.log, "it has started another")))
    assert program.end(patience=0.1) == -signal.SIGKILL
    wait_until(
        lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE, "the other is gone", 20
    )
