"""slotel: exact metrics, Sentry, enforced tags and an error budget from one OpenTelemetry launcher."""

from slotel.version import __version__

__all__ = ["__version__"]
