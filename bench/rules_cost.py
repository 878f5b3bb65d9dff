"""What the rules of 100 objectives cost a real Prometheus that holds a month of their records.

    .venv/bin/python bench/rules_cost.py [--objectives 100] [--services 10] [--instances 3] [--days 30]

Fills a Prometheus (the system's) with what it would hold after a month: counters of the last 90 min, the recorded
base window of the last hours, the tiles of the period. Then lets it evaluate the generated rules and prints, from its own
metrics: how long one evaluation of all groups took, added up (`prometheus_rule_group_last_duration_seconds`; wall time,
so on a busy machine much of it is waiting), and Prometheus' CPU in 30 s, in which every group that is due runs,
collection of garbage and all else included. The bound is 1 s for both.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from slotel.compile import conventions as at
from slotel.compile.prometheus.rules import files
from slotel.compile.promql import equal, series
from slotel.config.service import Service, read_service

DAY = 86400
SCRAPE = 15
ROUTES = 40
"""Series of span metrics of each instance of a service."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        ("objectives", 100),
        ("services", 10),
        ("instances", 3),
        ("days", 30),
        ("seconds", 400),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rules-cost-"))
    try:
        each = options.objectives // options.services
        services = [service(f"service-{index}", each) for index in range(options.services)]
        print(json.dumps(measure(folder, services, options), indent=2))
    finally:
        shutil.rmtree(folder)


def service(name: str, objectives: int) -> Service:
    lines = "".join(f"  - {{name: objective-{index}, objective: 99.9%}}\n" for index in range(objectives))
    return read_service({}, f"service: {name}\nslos:\n{lines}").service


def measure(folder: Path, services: list[Service], options: argparse.Namespace) -> dict[str, object]:
    rules = [folder / f"{each.name}.rules.yaml" for each in services]
    for path, each in zip(rules, services, strict=True):
        path.write_text(files(each)["prometheus/rules.yaml"])
    now = int(time.time())
    began = time.monotonic()
    blocks(folder, services, options, now)
    filled = time.monotonic() - began
    config = {"rule_files": [str(path) for path in rules], "global": {"evaluation_interval": "30s"}}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = 39411
    command = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100d",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            return {"filled_in_seconds": round(filled), **observe(port, options.seconds)}
        finally:
            process.terminate()
            process.wait(60)


def observe(port: int, seconds: int) -> dict[str, object]:
    """Ask Prometheus for its own numbers until its compaction is over and the slow groups ran twice."""
    deadline = time.monotonic() + seconds
    seen: list[dict[str, float]] = []
    while time.monotonic() < deadline:
        time.sleep(15)
        try:
            seen.append(own_metrics(port))
        except (urllib.error.URLError, OSError):
            continue
    first, last = seen[len(seen) // 2], seen[-1]
    cpu = (last["cpu"] - first["cpu"]) / (last["at"] - first["at"])
    sums = sorted(sample["fast"] for sample in seen[len(seen) // 2 :])
    slow = sorted(sample["slow"] for sample in seen[len(seen) // 2 :])
    every = sorted(sample["slow"] + sample["fast"] for sample in seen[len(seen) // 2 :])
    return {
        "rules": int(last["rules"]),
        "load_average": os.getloadavg()[0],
        "all_groups_together_seconds": {"median": every[len(every) // 2], "most": every[-1]},
        "groups_of_30s_together_seconds": {"median": sums[len(sums) // 2], "most": sums[-1]},
        "groups_of_2m_together_seconds": {"median": slow[len(slow) // 2], "most": slow[-1]},
        "cpu_seconds_of_prometheus_in_30_seconds": round(cpu * 30, 2),
        "missed_evaluations": last["missed"],
        "failures": last["failures"],
        "resident_megabytes": round(last["memory"] / 1e6),
    }


def own_metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    found = {"fast": 0.0, "slow": 0.0, "rules": 0.0, "missed": 0.0, "failures": 0.0, "at": time.monotonic()}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith("prometheus_rule_group_last_duration_seconds"):
            found["slow" if "slotel-period-" in name else "fast"] += float(value)
        elif name.startswith("prometheus_rule_group_rules"):
            found["rules"] += float(value)
        elif name.startswith("prometheus_rule_group_iterations_missed_total"):
            found["missed"] += float(value)
        elif name.startswith("prometheus_rule_evaluation_failures_total"):
            found["failures"] += float(value)
        elif name == "process_cpu_seconds_total":
            found["cpu"] = float(value)
        elif name == "process_resident_memory_bytes":
            found["memory"] = float(value)
    return found


def blocks(folder: Path, services: list[Service], options: argparse.Namespace, now: int) -> None:
    """Make one block for every day, each from a file of its own: promtool reads its file once for a block."""
    begins = range((now - options.days * DAY) // DAY * DAY, now, DAY)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda begin: block(folder, services, options, begin, now), begins))


def block(folder: Path, services: list[Service], options: argparse.Namespace, begin: int, now: int) -> None:
    path = folder / f"{begin}.om"
    end = min(begin + DAY, now)
    with path.open("w") as file:
        for family, lines in families(services, options, begin, end, now):
            file.write(f"# TYPE {family} gauge\n")
            file.writelines(lines)
        file.write("# EOF\n")
    command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=24h", "-q", "openmetrics"]
    command += [str(path), str(folder / "data")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    path.unlink()


def families(
    services: list[Service], options: argparse.Namespace, begin: int, end: int, now: int
) -> Iterator[tuple[str, Iterator[str]]]:
    tiles = range(begin, end, int(at.TILE))
    yield at.tile("events"), recorded(services, at.tile("events"), tiles, 1200.0)
    yield at.tile("events_bad"), recorded(services, at.tile("events_bad"), tiles, 1.0)
    if end > now - DAY // 2:
        base = range(max(begin, now - DAY // 2), end, int(at.INTERVAL))
        yield at.total("5m"), recorded(services, at.total("5m"), base, 600.0)
        yield at.bad("5m"), recorded(services, at.bad("5m"), base, 0.5)
    if end > now - 5400:
        yield (
            "slo_events_total",
            counters(services, options.instances, range(max(begin, now - 5400), end, SCRAPE)),
        )
        yield (
            "traces_span_metrics_calls_total",
            spans(services, options.instances, range(max(begin, now - 5400), end, SCRAPE)),
        )


def recorded(services: list[Service], name: str, times: range, value: float) -> Iterator[str]:
    source = random.Random(name)
    for each in services:
        for slo in each.slos:
            head = series(name, equal(at.labels(each, slo)))
            for when in times:
                yield f"{head} {value * source.uniform(0.5, 1.5):.3f} {when}\n"


def counters(services: list[Service], instances: int, times: range) -> Iterator[str]:
    for each in services:
        for slo in each.slos:
            for instance in range(instances):
                for outcome, rate in (("good", 30), ("bad", 0.03), ("excluded", 0)):
                    labels = {"service_name": each.name or "", "slo_name": slo.name, "slo_outcome": outcome}
                    head = series("slo_events_total", equal({**labels, "instance": f"{instance}"}))
                    for when in times:
                        yield f"{head} {int((when % 10_000_000) * rate)} {when}\n"


def spans(services: list[Service], instances: int, times: range) -> Iterator[str]:
    """Yield the calls of a service's routes, which the absence alert reads."""
    for each, instance, route in product(services, range(instances), range(ROUTES)):
        labels = {
            "service_name": each.name or "",
            "span_name": f"GET /{route}",
            "span_kind": "SPAN_KIND_SERVER",
            "instance": f"{instance}",
        }
        head = series("traces_span_metrics_calls_total", equal(labels))
        for when in times:
            yield f"{head} {when % 10_000_000} {when}\n"


if __name__ == "__main__":
    sys.exit(main())
