"""Forks while a sending thread is in the middle of an import, if it imports anything; then fails in the child."""

import importlib.abc
import os
import sys
import threading

import sentry_sdk

from slotel import ErrorTracker

importing, forked = threading.Event(), threading.Event()


class Slow(importlib.abc.MetaPathFinder):
    """Holds up every import that is not the main thread's until the process has forked."""

    def find_spec(self, name, path, target=None):
        if threading.current_thread() is not threading.main_thread():
            importing.set()
            forked.wait(10)


tracker = ErrorTracker().init()
sys.meta_path.insert(0, Slow())
tracker.capture_exception(ValueError("parent"))
importing.wait(2)
child = os.fork()
if child == 0:
    tracker.capture_exception(ValueError("child"))
    sentry_sdk.flush(timeout=5)
    os._exit(0)
forked.set()
os.waitpid(child, 0)
sentry_sdk.flush(timeout=20)
