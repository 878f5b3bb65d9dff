"""The matrix of real servers, frameworks and clients: what each way of a request comes to, beside plain sentry-sdk.

`python tests/support/requests_matrix.py [SERVICE…] [PATH…]` runs it, prints a table and ends with the number of wrong
cells. Its rows and columns are in `requests_cases.py`.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script

from prometheus_client.parser import text_string_to_metric_families

from slotel.cli.sink.server import SentrySink
from support.kept import installed, kept, sources
from support.launch import Launched, end_with_services, wait_until
from support.requests_cases import FOLDER, SERVICES, Case, Service, cases_of
from support.requests_client import ask

ROOT = Path(__file__).parents[2]
APPS_BIN = ROOT / ".venv-apps" / "bin"
DEADLINE = 30.0
"""Seconds, after which what has not come is missing."""
_SENTINEL = "/sentinel"
_SECOND_REPORTS = (
    "Error on request:",
    "Application callable raised an exception",
    "ClientDisconnected",
    "StopIteration",
)
"""What servers log, as text, of an exception that has been reported; Litestar's late word of the client before; how flask-sock
tells gunicorn that it has ended a socket."""
_READ = ("slo_events_total", "traces_span_metrics_calls_total", "http_server_request_duration_seconds_count")


class Cell(NamedTuple):
    """What came of a case.

    Args:
        counted: requests by outcome.
        names: names and routes under which they were counted.
        statuses: statuses under which they were counted; empty: none.
        linked, agree: whether each event has the trace, and the name, of a transaction.
        urls: paths of the URLs that events and transactions show.
        carried: what the request before on the connection left on the events of this one.
    """

    answer: object
    counted: dict[str, float]
    events: list[str]
    names: list[tuple[str, str]]
    statuses: list[str]
    linked: bool
    agree: bool
    urls: set[str]
    carried: list[str]


class Counts(NamedTuple):
    """What `/metrics` says.

    Args:
        outcomes: requests by outcome.
        names: requests by span name and route.
        statuses: requests by status.
        durations: requests that the framework's own metric has, by their attributes.
    """

    outcomes: dict[str, float]
    names: dict[tuple[str, str], float]
    statuses: dict[str, float]
    durations: dict[tuple[tuple[str, str], ...], float]

    @property
    def total(self) -> float:
        return sum(self.outcomes.values())


class Ran(NamedTuple):
    """What came of a service.

    Args:
        cells: each case with what came of it under plain sentry-sdk and under slotel.
        counted: requests that were counted in all.
        durations: those that `http_server_request_duration_seconds` has, by their attributes.
    """

    cells: list[tuple[Case, Cell, Cell]]
    counted: float
    durations: dict[tuple[tuple[str, str], ...], float]

    def faults(self, service: Service) -> list[str]:
        """What is wrong with each cell and with the metric of the framework."""
        found = [
            f"{case.path} ({case.client}): {'; '.join(wrong)}"
            for case, plain, cell in self.cells
            if (wrong := faults(service, case, plain, cell))
        ]
        if sum(self.durations.values()) > self.counted:
            found.append(
                f"http_server_request_duration_seconds has {self.durations}, counted {self.counted:g}"
            )
        return found


def run(service: Service, paths: Collection[str] = ()) -> Ran:
    """Ask a service all that it can be asked, or some paths of it, with plain sentry-sdk and with slotel."""
    cases = cases_of(service, paths)
    with ThreadPoolExecutor(2) as both:
        follows = f"{service.name} {cases}".encode() + apps_installed()
        plain = both.submit(kept, follows, lambda: _under_sentry_sdk(service, cases))
        cells, counts = both.submit(_under_slotel, service, cases).result()
        return Ran(list(zip(cases, plain.result(), cells, strict=True)), counts.total, counts.durations)


def apps_installed() -> bytes:
    """What the applications are and run on: for `kept`."""
    return sources(FOLDER, FOLDER.parent / "stock", Path(__file__).parent) + installed(APPS_BIN / "python")


def _under_sentry_sdk(service: Service, cases: list[Case]) -> list[Cell]:
    cells = []
    with (
        SentrySink() as sink,
        launch(service, PLAIN="1", PLAIN_DSN=sink.dsn("1")).wait_ready("/ok") as launched,
    ):
        for number, case in enumerate(cases):
            sink.clear()
            answer = ask(launched.port, f"{case.path}?case={number}", case.client)
            _wait_for_late(case, sink)
            _pass_sentinel(launched, sink)
            cells.append(Cell(answer, {}, _events(sink, number), [], [], True, True, set(), []))
    return cells


def _under_slotel(service: Service, cases: list[Case]) -> tuple[list[Cell], Counts]:
    cells = []
    with (
        SentrySink() as sink,
        launch(service, launcher=True, SENTRY_DSN=sink.dsn("1"), SENTRY_TRACES_SAMPLE_RATE="1").wait_ready(
            "/ok"
        ) as launched,
    ):
        _pass_sentinel(launched, sink, "event", "transaction")
        for number, case in enumerate(cases):
            before = _counts(launched)
            sink.clear()
            answer = ask(launched.port, f"{case.path}?case={number}", case.client)
            own = _wait_for(launched, before, case.requests)
            _wait_for_late(case, sink)
            _pass_sentinel(launched, sink, "event", "transaction")
            counted = _grown(before.outcomes, _counts(launched).outcomes)
            counted["good"] = counted.get("good", 0) - 1  # the sentinel
            cells.append(
                Cell(
                    answer,
                    {outcome: value for outcome, value in counted.items() if value},
                    _events(sink, number),
                    sorted(_grown(before.names, own.names)),
                    sorted(_grown(before.statuses, own.statuses)),
                    _linked(sink),
                    _agree(sink),
                    _urls(sink),
                    _carried(sink, case),
                )
            )
        return cells, _wait_until_still(launched)


def launch(service: Service, *, launcher: bool = False, **env: str) -> Launched:
    command = (str(APPS_BIN / service.command[0]), *service.command[1:])
    if launcher:
        command = (str(APPS_BIN / "opentelemetry-instrument"), *command)
    variables = {**service.env, "PYTHONPATH": str(FOLDER), "VIRTUAL_ENV": "", **env}
    return Launched(*command, launcher=False, env=variables, cwd=FOLDER)


def _counts(launched: Launched) -> Counts:
    """Read `/metrics` once."""

    def read() -> list[str] | None:
        try:
            return [line for line in launched.scrape().splitlines() if line.startswith(_READ)]
        except OSError:  # another worker takes the port over
            return None

    lines = wait_until(read, "metrics are served")
    outcomes: dict[str, float] = defaultdict(float)
    names: dict[tuple[str, str], float] = defaultdict(float)
    statuses: dict[str, float] = defaultdict(float)
    durations: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
    for family in text_string_to_metric_families("\n".join((*lines, ""))):
        for name, labels, value, *_ in family.samples:
            if name == _READ[0]:
                outcomes[labels["slo_outcome"]] += value
            elif name == _READ[2]:
                durations[tuple(sorted(labels.items()))] += value
            elif labels["span_kind"] == "SPAN_KIND_SERVER":
                names[labels["span_name"], labels.get("http_route", "")] += value
                status = labels.get("http_response_status_code", "")
                is_error = labels["status_code"] == "STATUS_CODE_ERROR"
                statuses[f"{status} without an error" if status >= "500" and not is_error else status] += (
                    value
                )
    return Counts(dict(outcomes), dict(names), dict(statuses), dict(durations))


def _grown(before: dict[Any, float], now: dict[Any, float]) -> dict[Any, float]:
    return {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}


def _wait_for(launched: Launched, before: Counts, requests: int) -> Counts:
    """Wait until so many requests were counted: most at once, one whose client has left when its server notes it."""
    until = time.monotonic() + DEADLINE / 4
    while True:
        now = _counts(launched)
        named = sum(now.names.values()) - sum(
            before.names.values()
        )  # a scrape may come between two counts of a request
        if min(now.total - before.total, named) >= requests or time.monotonic() > until:
            return now
        time.sleep(0.05)


def _wait_until_still(launched: Launched) -> Counts:
    """Wait until the durations have what was counted: a worker shares those with the others every few seconds."""
    until = time.monotonic() + DEADLINE / 4
    while True:
        now = _counts(launched)
        measured = sum(now.durations.values())
        if measured >= now.total or not measured or time.monotonic() > until:
            return now
        time.sleep(0.2)


def _pass_sentinel(launched: Launched, sink: SentrySink, *kinds: str) -> None:
    """Let an event, and a transaction, go the way of those before them, so that they have come, too."""
    ask(launched.port, _SENTINEL, "get")
    sink.wait_for(
        lambda sink: all(any(map(_is_sentinel, sink.payloads(kind))) for kind in kinds or ("event",)),
        DEADLINE,
    )


def _wait_for_late(case: Case, sink: SentrySink) -> None:
    if case.is_late:
        sink.wait_for(_errors, DEADLINE / 4)


def _is_sentinel(item: Any) -> bool:
    return item.get("message") == "sentinel" or str((item.get("request") or {}).get("url")).endswith(
        _SENTINEL
    )


def _errors(sink: SentrySink) -> list[Any]:
    return [
        event
        for event in sink.payloads("event")
        if event.get("logger") != "slotel.budget" and not _is_sentinel(event)
    ]


def _traces(sink: SentrySink) -> list[Any]:
    return [item for item in sink.payloads("transaction") if not _is_sentinel(item)]


def _events(sink: SentrySink, number: int) -> list[str]:
    """Return what the events of a case tell; one that comes late is of the case that its URL names."""
    found = []
    for event in _errors(sink):
        query = (event.get("request") or {}).get("query_string")
        if query and query != f"case={number}":
            continue
        values = (event.get("exception") or {}).get("values") or []
        text = (
            values[-1]["type"]
            if values
            else str((event.get("logentry") or {}).get("message", event.get("message"))).splitlines()[0]
        )
        found.append(text)
    return sorted(found)


def _linked(sink: SentrySink) -> bool:
    """Whether each event is in the trace of a transaction."""
    traces = {item["contexts"]["trace"]["trace_id"] for item in _traces(sink)}
    return all(event["contexts"]["trace"]["trace_id"] in traces for event in _errors(sink))


def _agree(sink: SentrySink) -> bool:
    """Whether each event has the name of the transaction in whose trace it is."""
    names = {(item["contexts"]["trace"]["trace_id"], item["transaction"]) for item in _traces(sink)}
    return all(
        (event["contexts"]["trace"]["trace_id"], event.get("transaction")) in names for event in _errors(sink)
    )


def _urls(sink: SentrySink) -> set[str]:
    shown = [item.get("request", {}).get("url") for item in (*_traces(sink), *_errors(sink))]
    return {urlsplit(url).path for url in shown if url}


def _carried(sink: SentrySink, case: Case) -> list[str]:
    """What the requests of a connection left behind on events, and on transactions of other paths than theirs."""
    later = [
        item
        for item in (*_traces(sink), *_errors(sink))
        if item.get("request", {}).get("url", "").endswith(case.path)
    ]
    return [
        found
        for item in later
        for found in (
            str((item.get("user") or {}).get("id", "")),
            dict(item.get("tags") or {}).get("colour", ""),
        )
        if found
    ]


def faults(service: Service, case: Case, plain: Cell, cell: Cell) -> list[str]:
    """What is wrong with a cell."""
    found = []
    if cell.answer != plain.answer:
        found.append(f"answer {cell.answer}, without slotel {plain.answer}")
    expected = service.expected(case)
    if case.client == "pipelines":  # some servers answer the first request only
        expected = {"good": float(str(plain.answer))}
    if cell.counted != expected:
        found.append(f"counted {cell.counted}, not {expected}")
    reported = [] if case.client_leaves else [each for each in plain.events if each not in _SECOND_REPORTS]
    missing = [event for event in reported if event not in cell.events]
    more = len(cell.events) > len(reported)
    if case.path in service.reports_more:
        more = len(cell.events) != 1
    if missing or more or len(cell.events) > len(set(cell.events)):
        found.append(f"events {cell.events}, plain sentry-sdk {plain.events}")
    if cell.events and not cell.linked:
        found.append(f"events {cell.events} without the trace of the request")
    if (
        case.route
        and service.has_routes
        and (case.client in {"get", "pipelines"} or case.client.startswith("socket"))
        and not any(_has_route(service.prefix + case.route, *names) for names in cell.names)
    ):
        found.append(f"names {cell.names}, expected route {case.route}")
    if case.says_status and cell.statuses != [_status(cell.answer)]:
        found.append(f"statuses {cell.statuses}, answer {cell.answer}")
    if not cell.agree:
        found.append(f"events {cell.events} have another name than their transaction")
    if wrong := cell.urls - {service.prefix + path for path in (case.path, "/upload", "/marks")}:
        found.append(f"URLs {wrong}")
    if cell.carried and case.path != "/marks":
        found.append(f"of the request before: {cell.carried}")
    if any(".php" in name for name, _ in cell.names):
        found.append(f"a path as a name: {cell.names}")
    return found


def _status(answer: object) -> str:
    """Return the status that a client has got; empty: none."""
    text = str(answer).partition(",")[0]
    return text if text.isdigit() else ""


def _has_route(route: str, name: str, named: str) -> bool:
    """Whether a span has this route, and is named by it: `GET <route>`, a websocket's, too."""
    return route.strip("/") in named and name == f"GET {named}"


def main(wanted: list[str]) -> int:
    """Ask the services and the paths that the words name; without any, all of them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_with_services)
    paths = frozenset(word for word in wanted if word.startswith("/"))
    words = [word.lower() for word in wanted if not word.startswith("/")]
    wrong = total = 0
    for service in SERVICES:
        if words and not any(word in service.name.lower() for word in words):
            continue
        ran = run(service, paths)
        found = ran.faults(service)
        for fault in found:
            print(f"  {fault}", flush=True)
        print(f"| {service.framework} | {service.server} | {len(ran.cells)} | {len(found)} |", flush=True)
        total, wrong = total + len(ran.cells), wrong + len(found)
    print(f"{total} cells, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
