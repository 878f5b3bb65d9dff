"""The command: its options, its output, its exit code. Runs with the standard library and slotel's runtime alone."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slotel.cli.doctor.examine import examine
from slotel.config.problem import one_line
from slotel.runtime.checks.packages import LAUNCHER
from slotel.runtime.finding import Finding
from slotel.runtime.redaction.redactor import Redactor

_COLOURS: Final = {"ok": "32", "info": "36", "warn": "33", "fail": "31"}
EPILOG: Final = """\
Exit codes: 0 nothing would fail; 1 something would (with --strict: or is worth a look); 2 the call is wrong.
Each finding has a code, such as SLO130; the documentation has a page for each.

After `--`, a command: doctor starts it as `opentelemetry-instrument COMMAND`, sends the requests of --get to it, with a
local Sentry in place of yours (unless --send), and reports what was instrumented, counted and sent.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(
        prog="slotel doctor",
        usage="slotel doctor [options] [-- COMMAND …]",
        description="Check the environment of a service before you start it. Run it with the service's interpreter, "
        "in its folder, with its environment variables.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--config", metavar="FILE", help="slotel.yaml (default: SLOTEL_CONFIG, else ./slotel.yaml)"
    )
    made.add_argument("--json", action="store_true", help="print the findings as JSON")
    made.add_argument("--strict", action="store_true", help="exit with 1 also for warnings")
    made.add_argument(
        "--send", action="store_true", help="send one error event and one transaction to Sentry"
    )
    made.add_argument("--offline", action="store_true", help="open no connection")
    made.add_argument("--prometheus", metavar="URL", help="check that a Prometheus fits the generated rules")
    made.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        help="with --prometheus: a header of each request, such as Authorization",
    )
    made.add_argument(
        "--get", metavar="PATH", action="append", default=[], help="with a COMMAND: request this path"
    )
    made.add_argument("--url", metavar="URL", help="with a COMMAND: where it listens (default: found out)")
    made.set_defaults(command=[])
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    own, command = given, []
    if "--" in given:
        at = given.index("--")
        own, command = given[:at], given[at + 1 :]
    options, rest = parser().parse_known_args(own)
    if rest:
        parser().error(
            f"{rest[0]!r}: write a file behind --config, a command behind --; --help lists the options"
        )
    if (options.get or options.url) and not command:
        parser().error("--get and --url need a command: slotel doctor --get / -- gunicorn app:app")
    if options.header and not options.prometheus:
        parser().error("--header needs --prometheus")
    if command and Path(command[0]).name == LAUNCHER:  # doctor starts it itself
        command = command[1:]
    options.command = command
    findings: list[Finding] = []
    redact = Redactor().text
    for found in examine(os.environ, options):
        finding = found._replace(text=redact(found.text), fix=redact(found.fix))
        findings.append(finding)
        if not options.json:
            _print(finding)
    if options.json:
        json.dump([finding._asdict() for finding in findings], sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    bad = {"fail", "warn"} if options.strict else {"fail"}
    return 1 if any(finding.status in bad for finding in findings) else 0


def _print(finding: Finding) -> None:
    label = f"{finding.status:>4}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        label = f"\x1b[1;{_COLOURS[finding.status]}m{label}\x1b[0m"
    code = f" [{finding.code}]" if finding.code else ""
    shown = finding.fix[1:-1] if finding.fix.startswith("(") else finding.fix  # what happens instead
    fix = f"\n       → {one_line(shown)}" if shown else ""
    sys.stdout.write(f"{label}  {finding.subject}: {one_line(finding.text)}{code}{fix}\n")
    sys.stdout.flush()
