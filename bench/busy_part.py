"""How many transactions a second leave a process whose main thread never rests: a ladder of rates."""

from __future__ import annotations

import json
import os
import subprocess

from server import Sink, free_port
from variants import HERE, Variant

LADDER = (15, 20, 25, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960)
STEADY = 0.9
"""The part of what was made that must have left within the window; else a queue only hid the lag."""


def step(variant: Variant, rate: float, seconds: float, sink: Sink) -> dict:
    """Make transactions at a rate for some seconds; return what left in that time, and what was lost at the end."""
    before = sink.transactions()
    process = subprocess.Popen(
        [*variant.command, str(HERE / "apps" / "busy_app.py"), str(rate), str(seconds)],
        env=variant.environ(os.environ, sink.dsn, free_port()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        made = json.loads(process.stdout.readline())
        left = sink.transactions() - before
        process.communicate("\n", timeout=120)
    arrived = sink.transactions() - before
    return {"rate": rate, **made, "left": left, "lost": made["emitted"] - arrived}


def climb(variant: Variant, seconds: float, sink: Sink) -> dict:
    """Return the highest rung at which nothing is lost and nothing piles up, and every rung tried."""
    best, rungs, misses = 0.0, [], 0
    for rate in LADDER:
        rung = step(variant, rate, seconds, sink)
        rung["held"] = rung["lost"] <= 0 and rung["left"] >= STEADY * rung["emitted"]
        rungs.append(rung)
        if rung["held"]:
            best, misses = rung["emitted"] / rung["seconds"], 0
        else:
            misses += 1
        # a main thread that cannot make more, or two misses in a row: the top
        if misses == 2 or rung["emitted"] < 0.8 * rate * rung["seconds"]:
            break
    return {"per_second": best, "most_left": max(r["left"] / r["seconds"] for r in rungs), "rungs": rungs}
