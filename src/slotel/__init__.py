"""slotel: exact metrics, Sentry, enforced tags and an error budget from `opentelemetry-instrument`.

PYTEST_DONT_REWRITE: pytest would warn that it cannot, in a run under `opentelemetry-instrument`.
"""

from __future__ import annotations

from slotel.version import __version__

TYPE_CHECKING = (
    False  # without the import of typing: `opentelemetry-instrument` imports this package, and little else
)
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from slotel.outcome import exclude, mark_bad, mark_good
    from slotel.tracker.errors import ErrorTracker, set_custom_tags
    from slotel.tracker.performance import PerformanceTracker
    from slotel.tracker.started import flush

    _App = TypeVar("_App")

    def ErrorTrackingMiddleware(app: _App, /) -> _App:  # noqa: N802 a class, which to a type checker is this function
        """Wrap an app; see `slotel.tracker.middleware`. Every attribute of the app can be used as before."""
        return app


__all__ = [
    "ErrorTracker",
    "ErrorTrackingMiddleware",
    "PerformanceTracker",
    "__version__",
    "exclude",
    "flush",
    "mark_bad",
    "mark_good",
    "set_custom_tags",
]

_HOMES = {
    "ErrorTracker": "slotel.tracker.errors",
    "ErrorTrackingMiddleware": "slotel.tracker.middleware",
    "PerformanceTracker": "slotel.tracker.performance",
    "exclude": "slotel.outcome",
    "flush": "slotel.tracker.started",
    "mark_bad": "slotel.outcome",
    "mark_good": "slotel.outcome",
    "set_custom_tags": "slotel.tracker.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: `import slotel` alone loads neither OpenTelemetry nor Sentry."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'slotel' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
