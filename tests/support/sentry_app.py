"""Runs an app of tests/apps/errors until it ends, under plain sentry-sdk or with slotel, and returns what Sentry has got."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slotel.cli.sink.envelope import Envelope
from slotel.cli.sink.http import Request
from slotel.cli.sink.server import SentrySink
from support.kept import installed, kept, sources
from support.launch import APPS, clean_environ, launched_by

FOLDER = APPS / "errors"
PYTHON = Path(sys.executable)
_OFF = {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}


@dataclass
class Ran:
    """What a process has sent, and said.

    Args:
        others: requests to no address of envelopes.
    """

    envelopes: list[Envelope]
    others: list[Request]
    stdout: str
    stderr: str

    def payloads(self, kind: str) -> list[Any]:
        """The payloads of the items of one type, oldest first."""
        return [payload for envelope in self.envelopes for payload in envelope.of_type(kind)]


def run_app(
    how: str,
    *command: str,
    uses: Sequence[str] = (),
    python: Path = PYTHON,
    launcher: Sequence[str] | None = None,
    addresses: Mapping[str, str] = MappingProxyType({"SENTRY_DSN": "{dsn}/7"}),
    apart: Mapping[str, str] = MappingProxyType({}),
    **variables: str,
) -> Ran:
    """Run `python COMMAND`, which must succeed.

    What plain sentry-sdk sends follows from the app and from what is installed: it is kept. What a test compares with it runs each time.

    Args:
        how: `plain`, or else with slotel.
        uses: libraries that the plain one uses.
        launcher: another one than that of `launched_by`.
        addresses: variables with addresses of the sink: `{url}` is its own, `{dsn}` that of a DSN but for the project.
        apart: variables that are of this run alone, as ports are; with them nothing is kept.
        variables: of the environment.
    """
    if launcher is None:
        launcher = launched_by(how, *uses)
    called = [*launcher, str(python), *command]

    def ran() -> Ran:
        with SentrySink() as sink:
            dsn = sink.dsn("").rstrip("/")
            told = {key: text.format(url=sink.url, dsn=dsn) for key, text in addresses.items()}
            env = clean_environ(**{**_OFF, **variables, **apart, **told})
            env["PATH"] = os.pathsep.join([str(python.parent), env["PATH"]])
            done = subprocess.run(
                called, env=env, cwd=FOLDER, timeout=170, capture_output=True, text=True, errors="replace"
            )
            assert done.returncode == 0, done.stderr[-3000:]
            return Ran([*sink.envelopes], [*sink.others], done.stdout, done.stderr)

    if how != "plain" or apart:
        return ran()
    asked = json.dumps([called, dict(addresses), variables]).encode()
    return kept(asked + sources(FOLDER, Path(__file__).with_name("plain")) + installed(python), ran)
