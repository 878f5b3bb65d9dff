"""Panels on the processes of a service side by side: is it one worker, are they recycled, were they killed?"""

from __future__ import annotations

from typing import Any, Final

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.panels import Query
from slotel.config import names

OF: Final = 'job=~"$job",instance=~"$instance"'
ONE_PROCESS: Final = "Each instance is one process: there are no workers to compare."
NO_WORKERS: Final = "No instance of slotel with these filters"
MOST: Final = 20
"""Workers in a chart: those with most requests in the shown time."""
BY: Final = f"instance, {names.LABEL_WORKER}"
NAME: Final = f"{{{{instance}}}} / {{{{{names.LABEL_WORKER}}}}}"


def worker_panels() -> tuple[Any, ...]:
    """Return what each worker does and uses, how many live, and how they ended."""
    requests, busy = f"{names.WORKER_REQUESTS}_total", f"{names.WORKER_BUSY}_total"
    busiest = f"and on ({BY}) topk({MOST}, sum by ({BY}) (increase({requests}{{{OF}}}[$__range] @ end())))"

    def rate(metric: str) -> Query:
        return Query(f"sum by ({BY}) (rate({metric}{{{OF}}}[$__rate_interval])) {busiest}", NAME)

    exits = f"sum by (reason) (increase({names.WORKER_EXITS}_total{{{OF}}}[$__rate_interval]))"
    return (
        p.series_panel("Requests by worker", f"Entry spans a second of the {MOST} busiest workers. A recycled "
                       "worker's number goes to the next one.",
                       rate(requests), unit=p.PER_SECOND, no_value=ONE_PROCESS),
        p.series_panel("Requests at once, by worker", "How many requests a worker serves at a time, on average: a sync "
                       "worker at 1 is full.", rate(busy), no_value=ONE_PROCESS),
        p.series_panel("Memory by worker", "Resident memory. A line that only rises, until the worker is recycled, is "
                       "a leak.", Query(f"sum by ({BY}) ({names.WORKER_MEMORY}{{{OF}}})", NAME), unit=p.BYTES,
                       no_value=ONE_PROCESS),
        p.series_panel("Workers", "Processes that live and may serve requests.",
                       Query(f"sum by (instance) ({names.WORKERS}{{{OF}}})", "{{instance}}"), unit=p.COUNT, decimals=0,
                       width=6, no_value=NO_WORKERS),
        p.series_panel("Workers that ended", "Exited: recycled, or stopped. Killed: SIGKILL, out of memory, a crash.",
                       Query(exits, "{{reason}}"), unit=p.COUNT, decimals=0, width=6, no_value=NO_WORKERS,
                       overrides=(p.colored(names.EXITED, p.BLUE), p.colored(names.KILLED, p.RED))),
    )  # fmt: skip
