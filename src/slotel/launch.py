"""Removes unknown names from OTEL_PROPAGATORS and the variables of `COMPONENTS` before `opentelemetry-instrument` runs.

Such a name would end the command or the app, or leave the app without telemetry, and OpenTelemetry reads some of
these variables before it loads a distribution. So `slotel_launch.pth` imports this module when Python starts, in the
process of `opentelemetry-instrument` only, which then becomes the app (`upstream/launcher.py`). This module imports
no library.
"""

from __future__ import annotations

import os
import sys

from slotel.runtime.upstream.launcher import LAUNCHER, become_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from typing import Final

VARIABLE: Final = "OTEL_PROPAGATORS"
COMPONENTS: Final = {
    "OTEL_PYTHON_CONFIGURATOR": "opentelemetry_configurator",
    "OTEL_PYTHON_CONTEXT": "opentelemetry_context",
    "OTEL_PYTHON_DISTRO": "opentelemetry_distro",
    "OTEL_PYTHON_ID_GENERATOR": "opentelemetry_id_generator",
    "OTEL_PYTHON_LOGGER_PROVIDER": "opentelemetry_logger_provider",
    "OTEL_PYTHON_METER_PROVIDER": "opentelemetry_meter_provider",
    "OTEL_PYTHON_TRACER_PROVIDER": "opentelemetry_tracer_provider",
}
"""Variable → group of the entry points that it selects from."""
OWN: Final = {"OTEL_PYTHON_CONFIGURATOR": "slotel", "OTEL_PYTHON_DISTRO": "slotel"}
"""Values that are known to be installed."""


def correct(environ: MutableMapping[str, str], command: Sequence[str]) -> None:
    """Remove unknown and empty names from the environment, and write a line for each unknown one.

    Does nothing in any other process than that of `opentelemetry-instrument`.

    Args:
        command: the command line of this process, with Python's options.
    """
    if not any(each.endswith(LAUNCHER) for each in command[:4]):
        return
    asked = [environ.get(variable) for variable in COMPONENTS if environ.get(variable) != OWN.get(variable)]
    if not any((*asked, environ.get(VARIABLE))):
        return
    from slotel.component_names import read_propagators, wrong_components

    for wrong in tuple(wrong_components(environ)):
        del environ[wrong.variable]
        sys.stderr.write(f"ERROR slotel: {wrong.problem}: {wrong.fix} [SLO119]\n")
    named = environ.get(VARIABLE, "")
    if not named:
        return
    usable, unknown = read_propagators(named)
    if unknown is not None:
        text = f"ERROR slotel: {VARIABLE}={named[:80]!r}: {unknown.problem}: {unknown.fix} [SLO123]\n"
        sys.stderr.write(text)
    if usable:
        environ[VARIABLE] = ",".join(usable)
    else:
        environ.pop(VARIABLE, None)


def begin() -> None:
    """Correct the environment of this process, and replace the process by the app."""
    correct(os.environ, sys.orig_argv)
    become_command(os.environ, sys.orig_argv)
