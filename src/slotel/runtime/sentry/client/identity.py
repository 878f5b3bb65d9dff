"""Release, environment and server name of a service, by Sentry's rules. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from slotel.config.service import SentrySettings

MAX_RELEASE: Final = 200
MAX_ENVIRONMENT: Final = 64
DEFAULT_ENVIRONMENT: Final = "production"
"""sentry-sdk's default."""

_BREAKERS: Final = re.compile(r"[\x00-\x1f\x7f/\\]+")
_NO_RELEASE: Final = frozenset({"", ".", "..", "latest"})
_NO_ENVIRONMENT: Final = frozenset({"", ".", "..", "none"})
_ENVIRONMENT_KEYS: Final = ("deployment.environment.name", "deployment.environment")
_SERVER_KEYS: Final = ("host.name", "k8s.pod.name")
"""Without `service.instance.id`, which OpenTelemetry makes at random for each process."""


class Identity(NamedTuple):
    """The service as Sentry shows it; None leaves a field to sentry-sdk."""

    release: str | None
    environment: str
    server_name: str | None


def identify(settings: SentrySettings, resource: Mapping[str, object]) -> Identity:
    """Return the identity from the settings for Sentry, else from the resource, made valid.

    >>> identify(SentrySettings(), {"service.version": "1.2/rc"}).release
    '1.2-rc'
    """
    release = settings.release or _text(resource, ("service.version",))
    environment = settings.environment or _text(resource, _ENVIRONMENT_KEYS)
    return Identity(
        release=valid_release(release),
        environment=valid_environment(environment),
        server_name=_text(resource, _SERVER_KEYS) or None,
    )


def valid_release(text: str) -> str | None:
    """Return a release that Sentry's server accepts; None if no character of it is valid.

    Source: sentry-relay, `validate_release`: at most 200 characters, no slash or control character.
    """
    release = _BREAKERS.sub("-", text.strip())[:MAX_RELEASE].strip()
    return None if release.lower() in _NO_RELEASE else release


def valid_environment(text: str) -> str:
    """Return an environment that Sentry's server accepts; `production` if no character of it is valid.

    Source: sentry-relay, `validate_environment`: at most 64 characters, no slash or control character, not
    `none`, `.` or `..`.
    """
    environment = _BREAKERS.sub("-", text.strip())[:MAX_ENVIRONMENT].strip()
    return DEFAULT_ENVIRONMENT if environment.lower() in _NO_ENVIRONMENT else environment


def _text(resource: Mapping[str, object], keys: tuple[str, ...]) -> str:
    return next((str(resource[key]) for key in keys if resource.get(key)), "")
