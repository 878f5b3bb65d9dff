"""The findings that a start logs before any component runs, and the finding about a component that could not start."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from slotel.config.service import Reading
from slotel.runtime.checks import environment, settings
from slotel.runtime.finding import Finding

_OF_A_VERSION: Final = (ImportError, AttributeError, TypeError)
"""Exceptions that an unsupported version of a package raises."""
_CHECKS: Final = (
    ("configuration", environment.variables),
    ("configuration", environment.quoted),
    ("opentelemetry", environment.components),
    ("configuration", settings.misnamed_file),
    ("configuration", settings.resource_attributes),
    ("instrumentation", settings.excluded_urls),
    ("opentelemetry", settings.numbers),
    ("exporters", settings.endpoints),
    ("metrics", environment.container),
)
_SAID: Final = "_SLOTEL_SAID"
"""Environment variable: checksums of the findings that a parent process has logged."""
_OF_A_FOLDER: Final = frozenset({"configuration", "service"})
"""Subjects that depend on the slotel.yaml of the folder: in another folder the same text is about another service."""


def not_yet_logged(findings: Iterable[Finding], environ: MutableMapping[str, str]) -> Iterator[Finding]:
    """Yield the findings that no parent process has logged: spawned workers inherit its environment."""
    said = environ.get(_SAID, "").split(",")
    for finding in findings:
        folder = _folder() if finding.subject in _OF_A_FOLDER else ""
        mark = f"{zlib.crc32(f'{folder} {finding}'.encode(errors='replace')):08x}"
        if mark not in said:
            said.append(mark)
            environ[_SAID] = ",".join(filter(None, said))
            yield finding


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def before_start(reading: Reading, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings about the configuration and the environment."""
    yield from examined("configuration", environment.configuration, reading)
    yield from examined("configuration", settings.patterns, reading)
    yield from examined("sentry", environment.release, reading)
    yield from examined("propagation", environment.sentrys_propagator, reading, environ)
    for subject, check in _CHECKS:
        yield from examined(subject, check, environ)
    yield from examined("service", environment.service_name, reading, environ)
    found = examined("workers", environment.runtime_directory, environ)
    yield from (finding for finding in found if finding.status != "ok")


def examined(subject: str, check: Callable[..., Iterator[Finding]], *arguments: Any) -> Iterator[Finding]:
    """Yield what a check finds; a check that fails is itself a finding, and costs nothing else."""
    try:
        yield from check(*arguments)
    except Exception as error:  # noqa: BLE001 a check that fails is a finding
        text = f"could not be examined: {type(error).__name__}: {error}"
        yield Finding(subject, "warn", text, code="SLO170")


def component_failed(component: str, error: BaseException) -> Finding:
    """Return why a component did not start: an unsupported package if there is one, else the exception."""
    if isinstance(error, _OF_A_VERSION):
        from slotel.runtime.checks.packages import unsupported

        for found in unsupported():
            return found._replace(text=f"{component} failed to start and is disabled: {found.text}")
    text = (
        f"{component} failed to start and is disabled, everything else works: {type(error).__name__}: {error}"
    )
    return Finding(component, "fail", text, code="SLO170")
