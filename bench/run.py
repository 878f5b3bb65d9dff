"""The one command: runs the parts that are asked for, interleaved, and writes RESULTS.md and RESULTS.json."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import busy_part
import memory_part
import report
import requests_part
import small_part
from server import Sink
from variants import APPS, HERE, VARIANTS

PARTS = ("requests", "busy", "memory", "micro")
QUICK_OUT = HERE.parent / ".cache" / "bench"
PACKAGES = (
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    "sentry-sdk",
    "prometheus-client",
    "flask",
    "waitress",
)
PACKAGES += (
    "fastapi",
    "uvicorn",
    "prometheus-flask-exporter",
    "prometheus-fastapi-instrumentator",
    "orjson",
    "isal",
)


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few, short rounds; writes to .cache/bench")
    parser.add_argument("--parts", type=_list(PARTS), default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--app", type=_list(tuple(APPS)), default=list(APPS))
    parser.add_argument(
        "--variants", type=_list(tuple(VARIANTS)), default=list(VARIANTS), help="bare always runs"
    )
    parser.add_argument(
        "--routes", type=_list(("/ok", "/work", "/error")), default=["/ok", "/work", "/error"]
    )
    parser.add_argument("--rounds", type=int, help="default 10, quick 1")
    parser.add_argument("--seconds", type=float, help="of load for each route; default 10, quick 2")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--memory-requests", type=int, help="default 50000, quick 1000")
    parser.add_argument("--memory-rate", type=float, default=400.0)
    parser.add_argument(
        "--busy-seconds",
        type=float,
        help="of each rung; default 8: in shorter ones what still waits for late children weighs too much",
    )
    parser.add_argument("--out", type=Path, help="folder of RESULTS.md and RESULTS.json; default bench/")
    options = parser.parse_args(arguments)
    quick = options.quick
    for name, value, small in (
        ("rounds", 10, 1),
        ("seconds", 10.0, 2.0),
        ("memory_requests", 50_000, 1_000),
        ("busy_seconds", 8.0, 8.0),
    ):
        if getattr(options, name) is None:
            setattr(options, name, small if quick else value)
    options.out = options.out or (QUICK_OUT if quick else HERE)
    if "bare" not in options.variants:
        options.variants.insert(0, "bare")
    return options


def _list(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (known: {', '.join(known)})")
        return names

    return split


def meta(arguments: list[str], script: str = "bench/run.py") -> dict:
    """Return what a reader needs to run it again and to doubt it."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    git = subprocess.run(
        ["git", "-C", str(HERE), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": shlex.join(["python", script, *arguments]),
        "date": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git.stdout.strip() or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[1] if cpu else platform.processor(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def requests(options: argparse.Namespace, _: Sink) -> dict:
    plan = requests_part.Plan(options.rounds, options.seconds, options.rate, tuple(options.routes))
    apps: dict = {app: {name: [] for name in options.variants} for app in options.app}
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(Sink()) for name in options.variants}
        for number in range(plan.rounds):
            for app in options.app:
                # each round starts elsewhere, so that a neighbour's rhythm hits no variant more than another
                turn = number % len(options.variants)
                names = options.variants[turn:] + options.variants[:turn]
                for name, one in requests_part.measure(app, names, plan, sinks).items():
                    apps[app][name].append(one)
                    what = one.get("failed") or one["faults"] or "ok"
                    _say(f"round {number + 1}/{plan.rounds} {app} {name}: {what}")
    return {"apps": apps}


def memory(options: argparse.Namespace, sink: Sink) -> dict:
    apps: dict = {}
    for app in options.app:
        for name in options.variants:
            _say(f"memory {app} {name}")
            apps.setdefault(app, {})[name] = _guarded(
                lambda app=app, name=name: memory_part.measure(
                    app, VARIANTS[name], options.memory_requests, options.memory_rate, sink
                )
            )
    return {"apps": apps}


def busy(options: argparse.Namespace, sink: Sink) -> dict:
    climbs: dict = {}
    names = [
        name for name in options.variants if VARIANTS[name].rate == 1.0 and VARIANTS[name].kind != "native"
    ]
    for number in range(1 if options.quick else 3):
        for name in names:
            climb = busy_part.climb(VARIANTS[name], options.busy_seconds, sink)
            climbs.setdefault(name, []).append(climb)
            _say(f"busy {number + 1} {name}: {climb['per_second']:.0f}/s")
    return {"variants": climbs}


_BY_APP = ("requests", "storm")
"""Parts of which an app may be measured alone."""


def keep(out: Path, part: str, found: dict, about: dict) -> dict:
    """Put a part into RESULTS.json and RESULTS.md of a folder; return all that stands there now."""
    out.mkdir(parents=True, exist_ok=True)
    raw = out / "RESULTS.json"
    data = json.loads(raw.read_text()) if raw.exists() else {}
    data[part] = merged(data.get(part, {}), about, found) if part in _BY_APP else found
    raw.write_text(json.dumps(data, indent=1) + "\n")
    (out / "RESULTS.md").write_text(report.render(data))
    return data


def merged(old: dict, about: dict, found: dict) -> dict:
    """Return the part with the apps of this run replaced, and those of earlier runs kept with their own record."""
    metas = {**old.get("metas", {}), **dict.fromkeys(found["apps"], about)}
    return {"metas": metas, "apps": {**old.get("apps", {}), **found["apps"]}}


def _guarded(action: Callable[[], dict]) -> dict:
    try:
        return action()
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    options = options_of(given)
    data: dict = {}
    with Sink() as sink:
        for part in PARTS:
            if part not in options.parts:
                continue
            about = meta(given)
            if part == "micro":
                found = {"files": small_part.measure(options.quick)}
            else:
                found = {"requests": requests, "memory": memory, "busy": busy}[part](options, sink)
            # after each part: an interrupted run keeps what it has
            data = keep(options.out, part, found if part == "requests" else {"meta": about, **found}, about)
    print(report.render({part: data[part] for part in PARTS if part in options.parts}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
