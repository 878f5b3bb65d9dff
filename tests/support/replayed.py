"""Rules over a past that a test makes up, second by second: scrapes and evaluations come when it says, or not at all.

promtool evaluates every rule at every step. Here a real Prometheus answers what a rule's expression is at a moment, and the
answer is written back by remote write, as Prometheus itself would have recorded it: with a staleness marker where a series
of the evaluation before is missing.
"""

import http.client
import json
import struct
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from slotel.compile.promql import Group, Rule
from support.launch import clean_environ, wait_until
from support.ports import free_port
from support.program import Program
from support.real import require_real

START = 1_750_000_200
"""Unix seconds, a multiple of ten minutes, not of an hour."""
_STALE = struct.pack("<Q", 0x7FF0000000000002)
"""The NaN that says that a series ended."""
Labels = tuple[tuple[str, str], ...]


class Replayed(Program):
    """A Prometheus that scrapes and evaluates nothing by itself."""

    def __init__(self, folder: Path, groups: Iterable[Group] = ()) -> None:
        self._groups = tuple(groups)
        self._before: dict[tuple[str, int], set[Labels]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            require_real("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver", "--log.level=warn",
            "--storage.tsdb.retention.time=100y",
        ]  # fmt: skip
        self.start_process(command, env=clean_environ())
        wait_until(lambda: self.answers(f"{self.url}/-/ready"), "Prometheus is ready", 60)
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def scrape(self, moment: float, values: Mapping[str, float | None]) -> None:
        """Store samples by series, as `up{job="shop"}`; None: the series ended."""
        self._write(moment, [(_labels(series), value) for series, value in values.items()])

    def evaluate(self, moment: float, only: Callable[[Group], bool] = lambda _: True) -> None:
        """Evaluate the recording rules of groups in their order."""
        for group in filter(only, self._groups):
            for index, rule in enumerate(group.rules):
                if rule.record:
                    self._record(moment, (group.name, index), rule)

    def query(self, expr: str, moment: float) -> dict[Labels, float]:
        """The vector that an expression is at a moment."""
        asked = urllib.parse.urlencode({"query": expr, "time": moment})
        found = json.loads(self._ask("GET", f"/api/v1/query?{asked}"))["data"]["result"]
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in found}

    def value(self, expr: str, moment: float) -> float | None:
        """The one value of an expression at a moment."""
        found = list(self.query(expr, moment).values())
        assert len(found) <= 1, (expr, found)
        return found[0] if found else None

    def _record(self, moment: float, key: tuple[str, int], rule: Rule) -> None:
        found = {}
        for labels, value in self.query(rule.expr, moment).items():
            named = {**dict(labels), **rule.labels, "__name__": rule.record}
            found[tuple(sorted(named.items()))] = value
        ended = self._before.get(key, set()) - found.keys()
        self._before[key] = set(found)
        samples: list[tuple[Labels, float | None]] = [*found.items(), *((labels, None) for labels in ended)]
        if samples:
            self._write(moment, samples)

    def _write(self, moment: float, samples: Iterable[tuple[Labels, float | None]]) -> None:
        stamp = b"\x10" + _varint(round(moment * 1000))
        body = b"".join(
            _field(1, b"".join(_field(1, _field(1, name.encode()) + _field(2, text.encode())) for name, text in labels)
                   + _field(2, b"\x09" + (_STALE if value is None else struct.pack("<d", value)) + stamp))
            for labels, value in samples
        )  # fmt: skip
        block = _varint(len(body)) + b"\xfc" + struct.pack("<I", len(body) - 1) + body  # snappy: one literal
        self._ask("POST", "/api/v1/write", block)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self._http.request(method, path, body)
        answer = self._http.getresponse()
        text = answer.read()
        assert answer.status in {200, 204}, (answer.status, text[:500], path[:2000])
        return text

    def __enter__(self) -> "Replayed":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.end(patience=30)


def _labels(series: str) -> Labels:
    name, _, rest = series.partition("{")
    pairs = [part.split("=", 1) for part in rest.rstrip("}").split(",") if part]
    return tuple(sorted([("__name__", name), *((key, text.strip('"')) for key, text in pairs)]))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
