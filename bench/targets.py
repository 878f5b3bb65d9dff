"""What is to be reached, and what must not be lost, as data."""

from __future__ import annotations

from dataclasses import dataclass

EXTRA = "added CPU/request"
STARTUP = "start-up CPU"
BUSY = "transactions/s that leave while the main thread is busy, none lost"


@dataclass(frozen=True, slots=True)
class Target:
    """`what` of `variant` over `what` of `baseline` is to be at most (or at least) `ratio`; at most `held`, it must be."""

    what: str
    variant: str
    baseline: str
    ratio: float
    at_least: bool = False
    held: float | None = None


TARGETS = (
    Target(EXTRA, "slotel@1.0", "stock@1.0", 0.30),
    Target(EXTRA, "slotel@0.01", "stock@0.01", 0.30),
    Target(EXTRA, "slotel@0.01", "otel+prometheus", 0.50, held=0.75),
    Target(EXTRA, "slotel@1.0", "native@1.0", 0.60),
    Target(EXTRA, "slotel@0.01", "native@0.01", 0.80),
    Target(STARTUP, "slotel@1.0", "stock@1.0", 0.55, held=0.70),
)
BUSY_TARGET = Target(BUSY, "slotel@1.0", "stock@1.0", 10.0, at_least=True)


def reached(ratio: float, target: Target) -> bool:
    return ratio >= target.ratio if target.at_least else ratio <= target.ratio
