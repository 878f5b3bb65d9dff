"""A real Prometheus over a day that is past: blocks made by promtool, recording rules and alerts evaluated over it."""

import hashlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from slotel.compile import conventions as at
from slotel.compile.promql import Group, Rule
from slotel.compile.yaml_file import yaml_lines
from support import scripted_day
from support.once import CACHE, alone
from support.ports import free_port
from support.real import require_real

DEADLINE = 60.0


class Past:
    """Prometheus' query API over a past day; what is past stays as it was, so the same is asked once."""

    def __init__(self, url: str, start: int, end: int) -> None:
        self.url, self.start, self.end = url, start, end
        self._answers: dict[str, dict] = {}

    def range(self, expr: str, step: int) -> list[dict]:
        return self._get("query_range", query=expr, start=self.start, end=self.end, step=step)["data"][
            "result"
        ]

    def instant(self, expr: str) -> list[dict]:
        return self._get("query", query=expr, time=self.end)["data"]["result"]

    def label_values(self, selector: str, label: str) -> list[str]:
        found = self._get("series", **{"match[]": selector}, start=self.start, end=self.end)["data"]
        return sorted({series[label] for series in found if label in series})

    def _get(self, path: str, **parameters: object) -> dict:
        body = urllib.parse.urlencode(parameters)
        asked = f"{path}?{body}"
        if asked not in self._answers:
            try:
                with urllib.request.urlopen(
                    f"{self.url}/api/v1/{path}", body.encode(), timeout=DEADLINE
                ) as answer:
                    self._answers[asked] = json.load(answer)
            except urllib.error.HTTPError as error:
                raise ValueError(f"{parameters}: {error.read().decode()}") from None
        return self._answers[asked]


@contextmanager
def past(
    directory: Path, samples: Iterable[str], groups: Iterable[Group], start: int, end: int
) -> Iterator[Past]:
    """Fill a Prometheus with a day, evaluate the rules over it as it would have, and serve it."""
    _fill(directory, samples, groups, start, end)
    with _prometheus(directory, directory / "data") as url:
        yield Past(url, start, end)


@contextmanager
def scripted_past(directory: Path, groups: Iterable[Group]) -> Iterator[Past]:
    """Serve the scripted day with rules evaluated over it, which is made once for all tests, in .cache."""
    groups = tuple(groups)
    sources = [Path(source).read_bytes() for source in (__file__, scripted_day.__file__)]
    rules = repr([group.document() for group in groups]).encode()
    kept = CACHE / f"scripted-day-{hashlib.sha256(b'|'.join((*sources, rules))).hexdigest()[:12]}"
    with alone("scripted-day"):
        if not kept.exists():
            work = directory / "made"
            _fill(work, scripted_day.openmetrics(), groups, scripted_day.START, scripted_day.END)
            shutil.rmtree(work / "data" / "wal", ignore_errors=True)
            shutil.move(work / "data", kept)
        shutil.copytree(kept, directory / "data", ignore=shutil.ignore_patterns("lock", "wal", "chunks_head"))
    with _prometheus(directory, directory / "data") as url:
        yield Past(url, scripted_day.START, scripted_day.END)


def _fill(directory: Path, samples: Iterable[str], groups: Iterable[Group], start: int, end: int) -> None:
    """Make the blocks of a day, with what the rules record, and the alerts."""
    groups = tuple(replace(group, rules=tuple(_at_once(group.rules))) for group in groups)
    data = directory / "data"
    data.mkdir(parents=True)
    _import(directory, samples, data)
    for index, level in enumerate(_levels(groups)):
        file = directory / f"level{index}.yaml"
        document = {"groups": [group.document() for group in level]}
        file.write_text("\n".join(yaml_lines(document)) + "\n")
        with _prometheus(directory, data) as url:
            out = directory / f"level{index}"
            _promtool(
                "tsdb", "create-blocks-from", "--max-block-duration=24h", "rules", f"--url={url}",
                f"--start={start}", f"--end={end}", f"--output-dir={out}", file.name, folder=directory,
            )  # fmt: skip
        _move(out, data)
    with _prometheus(directory, data) as url:
        alerts = list(_alerts(Past(url, start, end), groups))
    if alerts:
        _import(directory, ["# TYPE ALERTS gauge\n", *alerts, "# EOF\n"], data)


@contextmanager
def served(directory: Path, samples: Iterable[str]) -> Iterator[str]:
    """Fill a Prometheus with OpenMetrics samples, and serve it: its address."""
    data = directory / "data"
    data.mkdir(parents=True)
    _import(directory, samples, data)
    with _prometheus(directory, data) as url:
        yield url


def _at_once(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Rules without those that read what they recorded before, which promtool does not show them.

    Of a day without gaps: nothing is missed, a tile is the sum of its base windows.
    """
    for rule in rules:
        selector = rule.expr[rule.expr.find("{") : rule.expr.find("}") + 1]
        for what in ("events", "events_bad"):
            base = f"slo:{what}:increase5m{selector}"
            if rule.record == at.tile(what):
                expr = f"sum_over_time({base}[9m59s]) / 10 and on () (vector(time()) % 600 < 30)"
                rule = replace(rule, expr=expr)  # noqa: PLW2901
            elif rule.record == at.open_tile(what):
                rule = replace(rule, expr=f"{base} / 10")  # noqa: PLW2901
        if rule.record not in {at.missed("events"), at.missed("events_bad")}:
            yield rule


def _levels(groups: tuple[Group, ...]) -> list[list[Group]]:
    """Split rules by what they read: promtool evaluates rules without seeing what the others of its run record."""
    rules = [(group, rule) for group in groups for rule in group.rules if rule.record]
    depth = dict.fromkeys((rule.record for _, rule in rules), 0)
    for _ in range(len(depth)):
        before = dict(depth)
        for _, rule in rules:
            read = {
                name
                for name in re.findall(r"[a-zA-Z_:][\w:]*", rule.expr)
                if name in depth and name != rule.record
            }
            depth[rule.record] = max([depth[rule.record], *(depth[name] + 1 for name in read)])
        if depth == before:
            break
    levels = []
    for level in range(max(depth.values(), default=-1) + 1):
        kept = [
            replace(
                group,
                rules=tuple(rule for rule in group.rules if rule.record and depth[rule.record] == level),
            )
            for group in groups
        ]
        levels.append([group for group in kept if group.rules])
    return levels


def _alerts(prometheus: Past, groups: tuple[Group, ...]) -> Iterator[str]:
    """ALERTS as Prometheus writes it, each minute: pending until it was true for as long as the rule says."""
    for group in groups:
        for rule in group.rules:
            if rule.alert:
                yield from _alert(prometheus, rule)


def _alert(prometheus: Past, rule: Rule) -> Iterator[str]:
    held = {"": 0, "10m": 600, "1h": 3600}[rule.for_]
    for series in prometheus.range(rule.expr, 60):
        labels = {key: value for key, value in series["metric"].items() if key != "__name__"} | dict(
            rule.labels
        )
        labels["alertname"] = rule.alert
        since = last = 0
        for moment, _ in series["values"]:
            since = moment if moment - last > 60 else since
            last = moment
            state = "firing" if moment - since >= held else "pending"
            text = ",".join(
                f'{key}="{value}"' for key, value in sorted((labels | {"alertstate": state}).items())
            )
            yield f"ALERTS{{{text}}} 1 {moment}\n"


def _import(directory: Path, samples: Iterable[str], data: Path) -> None:
    text, out = directory / "samples.txt", directory / "blocks"
    with text.open("w") as file:
        file.writelines(samples)
    _promtool("tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics", str(text), str(out))
    _move(out, data)


def _move(blocks: Path, data: Path) -> None:
    for block in blocks.iterdir() if blocks.is_dir() else ():
        shutil.move(block, data / block.name)


def _promtool(*arguments: str, folder: Path | None = None) -> None:
    """Run promtool, in a folder where its files are named alike in each run.

    It evaluates a group at an offset within its interval that is a hash of the group's name and its file's, as Prometheus does:
    with the name of a temporary folder in it each run would record the day at other seconds.
    """
    done = subprocess.run(
        [require_real("promtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        cwd=folder,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


@contextmanager
def _prometheus(directory: Path, data: Path) -> Iterator[str]:
    config = directory / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1m}\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (directory / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(
            [require_real("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}",
             f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y", "--log.level=warn"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE)


def _wait(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        assert process.poll() is None, "prometheus ended"
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("prometheus was not ready in time")
