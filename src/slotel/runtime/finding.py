"""A finding: one thing that was verified, what it means for the service, and how to fix it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from slotel.config.problem import Problem
from slotel.runtime.logs import LOG

Status = Literal["ok", "info", "warn", "fail"]
_LEVELS: Final[dict[Status, int]] = {
    "ok": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "fail": logging.ERROR,
}
STARTED: Final = "start"
"""Subject of what a start has logged."""
_CODE: Final = re.compile(r"\s*\[(SLO\d{3})\]$")


class Finding(NamedTuple):
    """One thing that was verified.

    Args:
        subject: what it is about: `configuration`, `sentry`, ….
        status: `fail` does not work; `warn` works in another way than was probably meant.
        text: what was found.
        fix: what to type or to set.
        code: of docs/reference/codes.yaml; empty when all is well.
    """

    subject: str
    status: Status
    text: str
    fix: str = ""
    code: str = ""

    def __str__(self) -> str:
        separator = " " if self.fix.startswith("(") else ": "
        fix = f"{separator}{self.fix}" if self.fix else ""
        code = f" [{self.code}]" if self.code else ""
        return f"{self.text}{fix}{code}"


def of_problem(subject: str, problem: Problem) -> Finding:
    """Return a problem of the configuration as a finding."""
    return Finding(
        subject, "fail", f"{problem.place}: {problem.expectation}", f"({problem.consequence})", problem.code
    )


def of_note(subject: str, note: str) -> Finding:
    """Return a note of the configuration, which ends with its code, as a finding."""
    match = _CODE.search(note)
    return Finding(subject, "warn", _CODE.sub("", note), code=match[1] if match else "SLO102")


def log(findings: Iterable[Finding]) -> None:
    """Write one line for each finding; one that is `ok` is a debug line."""
    for finding in findings:
        LOG.log(_LEVELS[finding.status], "%s", finding)
