"""The head sampler of the environment: checks its name, and sets it from Sentry's sample rate."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

from slotel.config.problem import Problem, variable
from slotel.config.ratio import parse_ratio
from slotel.runtime.upstream.otel.instrumentations.installed import entry_points

SAMPLER: Final = "OTEL_TRACES_SAMPLER"
ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"
DEFAULT: Final = "parentbased_always_on"
_BUILT_IN: Final = (
    "always_on", "always_off", DEFAULT, "parentbased_always_off", "traceidratio", "parentbased_traceidratio",
)  # fmt: skip


def validate_sampler(environ: MutableMapping[str, str], sentry_rate: float | None) -> tuple[Problem, ...]:
    """Write a valid sampler into the environment; return the problems of the given one.

    Args:
        sentry_rate: SENTRY_TRACES_SAMPLE_RATE, in [0, 1]; used unless OTEL_TRACES_SAMPLER is set.
    """
    named = environ.get(SAMPLER, "").strip()
    if not named:
        if sentry_rate is not None:
            environ[SAMPLER] = "parentbased_traceidratio"
            environ[ARGUMENT] = f"{sentry_rate:g}"
        return ()
    if named.lower() not in _BUILT_IN and not list(
        entry_points(group="opentelemetry_traces_sampler", name=named)
    ):
        environ[SAMPLER] = DEFAULT
        known = ", ".join(_BUILT_IN)
        return (_problem(SAMPLER, named, f"there is no such sampler, built in are: {known}", DEFAULT),)
    argument = environ.get(ARGUMENT, "").strip()
    if named.lower().endswith("traceidratio") and argument and not _is_ratio(argument):
        environ[ARGUMENT] = "1"
        return (_problem(ARGUMENT, argument, "write a ratio from 0 to 1, for example '0.05'", "1"),)
    return ()


def _is_ratio(text: str) -> bool:
    try:
        float(text)
        return 0 <= parse_ratio(text) <= 1
    except ValueError:
        return False


def _problem(name: str, value: str, expectation: str, used: str) -> Problem:
    return Problem(variable(name, value), expectation, f"using {used}", "SLO122")
