"""Writes `src/slotel/constraints.txt`: the OpenTelemetry set of the locked environment, which the tests run with."""

from __future__ import annotations

import sys
from importlib.metadata import version

from opentelemetry.instrumentation.bootstrap_gen import default_instrumentations, libraries

HEAD = """\
# The OpenTelemetry packages that this release of slotel is tested with. Written by `make constraints`.
# A constraints file for pip and uv, and the table that `slotel bootstrap` reads: after `#` are the libraries that
# an instrumentation is for, or `always`.
"""
CORE = {
    "opentelemetry-api": "opentelemetry-api",
    "opentelemetry-sdk": "opentelemetry-sdk",
    "opentelemetry-proto": "opentelemetry-sdk",
    "opentelemetry-exporter-otlp": "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-common": "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc": "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry-sdk",
    "opentelemetry-instrumentation": "opentelemetry-instrumentation",
    "opentelemetry-distro": "opentelemetry-instrumentation",
    "opentelemetry-exporter-prometheus": "opentelemetry-instrumentation",
    "opentelemetry-semantic-conventions": "opentelemetry-instrumentation",
    "opentelemetry-util-http": "opentelemetry-instrumentation",
}
"""Package → the locked package whose version it shares."""


def text() -> str:
    """Return the file's content."""
    released = version("opentelemetry-instrumentation")
    wanted: dict[str, list[str]] = {}
    for row in libraries:
        package, _, pinned = str(row["instrumentation"]).partition("==")
        if pinned == released:  # the others are released apart, and not tested here
            wanted.setdefault(package, []).append(str(row["library"]))
    for requirement in default_instrumentations:
        wanted.setdefault(str(requirement).partition("==")[0], []).append("always")
    lines = [f"{name}=={version(like)}" for name, like in sorted(CORE.items())]
    lines += [f"{package}=={released}  # {' | '.join(wanted[package])}" for package in sorted(wanted)]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
