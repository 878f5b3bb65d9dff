"""What slotel has in the garbage collector: it knows a finalizer, and takes no exception of a signal handler away."""

import gc
import subprocess
import sys
import threading

import pytest

from slotel.runtime.process import finalizers

before_3_12 = pytest.mark.skipif(sys.version_info >= (3, 12), reason="nothing is watched there")
HANDLER = """
import gc, signal, sys, time
from slotel.runtime.process import finalizers
class Stop(BaseException): ...
def stop(*_):
    raise Stop
lost = []
sys.unraisablehook = lost.append
finalizers.watch()
signal.signal(signal.SIGALRM, stop)
raised, until = 0, time.monotonic() + 2
while time.monotonic() < until:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        while time.monotonic() < until:
            gc.collect(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        raised += 1
print(raised, len(lost))
"""

LOADED_LATE = """
import gc, sys
from slotel.runtime.process.lifecycle import PROCESS
from gevent import monkey
monkey.patch_all()
from slotel.runtime.process import finalizers
finalizers.watch()
class Kept: ...
kept = Kept(); kept.itself = kept                      # the collector runs once more when the interpreter ends
"""


@before_3_12
def test_an_interpreter_that_ends_after_gevents_patching_says_nothing():
    """An application without a DSN loads sentry-sdk, and with it what watches the collector, in a gevent worker."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADED_LATE], capture_output=True, text=True, timeout=170, check=True
    )
    assert (ran.stdout, ran.stderr) == ("", "")


@pytest.fixture
def watched():
    finalizers.watch()
    yield
    for each in finalizers._NOTES:
        gc.callbacks.remove(each)
    finalizers._PHASES.clear()


class Collected:
    def __init__(self, told):
        self.me = self
        self.told = told

    def __del__(self):
        self.told()


@before_3_12
def test_a_finalizer_that_the_collector_runs_is_known_on_its_thread_alone(watched):
    seen = []

    def told():
        elsewhere = threading.Thread(target=lambda: seen.append(finalizers.in_finalizer()))
        elsewhere.start()
        elsewhere.join()
        seen.append(finalizers.in_finalizer())

    for _ in range(3):
        Collected(told)
        gc.collect()
        seen.append(finalizers.in_finalizer())
    assert seen == [False, True, False] * 3


@before_3_12
def test_what_a_signal_handler_raises_is_never_lost_in_the_collector():
    done = subprocess.run(
        [sys.executable, "-c", HANDLER], capture_output=True, text=True, timeout=120, check=True
    )
    raised, lost = map(int, done.stdout.split())
    assert raised > 100, done.stderr
    assert lost == 0
