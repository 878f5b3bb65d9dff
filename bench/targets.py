"""What is to be reached, as data: the Numbers of the issues "exact counting" and "the Sentry path"."""

from __future__ import annotations

from dataclasses import dataclass

EXTRA = "added CPU/request"
STARTUP = "start-up CPU"
BUSY = "transactions/s that leave while the main thread is busy, none lost"


@dataclass(frozen=True, slots=True)
class Target:
    """`what` of `variant` over `what` of `baseline` must be at most (or at least) `ratio`."""

    what: str
    variant: str
    baseline: str
    ratio: float
    at_least: bool = False


TARGETS = (
    Target(EXTRA, "slotel@1.0", "stock@1.0", 0.40),
    Target(EXTRA, "slotel@0.01", "stock@0.01", 0.35),
    Target(EXTRA, "slotel@0.01", "otel+prometheus", 1.0),
    Target(EXTRA, "slotel@1.0", "native@1.0", 0.60),
    Target(EXTRA, "slotel@0.01", "native@0.01", 0.80),
    Target(STARTUP, "slotel@1.0", "stock@1.0", 0.75),
)
BUSY_TARGET = Target(BUSY, "slotel@1.0", "stock@1.0", 10.0, at_least=True)


def reached(ratio: float, target: Target) -> bool:
    return ratio >= target.ratio if target.at_least else ratio <= target.ratio
