"""Reports five errors that cannot leave yet, forks, reports one more in each process, and lets all leave."""

import os
import sys
import time

import sentry_sdk

from slotel import ErrorTracker

tracker = ErrorTracker().init()
for number in range(5):
    tracker.capture_exception(ValueError(f"before {number}"))
child = os.fork()
if child == 0:
    print("forked", flush=True)
    sys.stdin.read()  # until the test closes the pipe: the sink is healthy then
    tracker.capture_exception(ValueError("child"))
    sentry_sdk.flush(timeout=20)
    os._exit(0)
tracker.capture_exception(ValueError("parent"))
os.waitpid(child, 0)
sentry_sdk.flush(timeout=20)
time.sleep(0.1)
