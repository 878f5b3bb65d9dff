"""A pytest plugin for other projects' suites: slotel is active in the process that runs them.

SLOTEL_UPSTREAM_MODE=start starts slotel as the launcher does. `adopt` does that and makes slotel adopt every TracerProvider that
a test constructs, which a service's launcher does with the one provider of the service.
"""

from __future__ import annotations

import functools
import os
from typing import Any

MODE = os.environ.pop("SLOTEL_UPSTREAM_MODE", "off")


def _adopt_every_provider() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from support.adopted import runtime_around

    construct = TracerProvider.__init__

    @functools.wraps(construct)
    def adopted(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        if type(self) is TracerProvider:
            runtime_around(self)

    TracerProvider.__init__ = adopted  # type: ignore[method-assign]


def pytest_sessionstart() -> None:
    """Start slotel before the tests are collected; after conftest.py: sentry-sdk's own asks to be its first import."""
    if MODE not in {"start", "adopt"}:
        return
    os.environ.update(OTEL_METRICS_EXPORTER="none", SLOTEL_HANDLE_SIGTERM="false")
    before = dict(os.environ)
    from slotel.runtime.bootstrap import start

    start(os.environ)
    for name in set(os.environ) - set(before):
        del os.environ[name]  # suites assert on a clean environment
    os.environ.pop("OTEL_METRICS_EXPORTER", None)
    if MODE == "adopt":
        _adopt_every_provider()
