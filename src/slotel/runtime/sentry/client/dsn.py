"""Reads a Sentry DSN, and says what is wrong with an invalid one. Never shows the key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from slotel.runtime.finding import Finding

_ORGANIZATION: Final = re.compile(r"o(\d+)\.")
"""Source: sentry-sdk, `Dsn.ORG_ID_REGEX`."""
_MAX_DIGITS: Final = 18
SHAPE = "https://<public key>@<host>/<project number>"


@dataclass(frozen=True, slots=True)
class Destination:
    """The destination of a DSN, as far as it may be shown.

    Args:
        host: host name, with the port if the DSN has one.
        project: project id, as text.
        public_key: for headers that Sentry defines; never logged.
        organization: organization id, if the host contains it.
    """

    host: str
    project: str
    public_key: str = field(repr=False)
    organization: str | None = None

    def __str__(self) -> str:
        """Return host and project, as the start-up summary shows them."""
        return f"{self.host} project {self.project}"


def read_dsn(dsn: str) -> Destination:
    """Return the destination of a DSN.

    Raises:
        ValueError: the DSN is malformed; the message shows no part of the key.

    >>> str(read_dsn("https://key@sentry.example:9000/prefix/42"))
    'sentry.example:9000 project 42'
    """
    try:
        parts = urlsplit(dsn.strip())
        port = parts.port
    except ValueError:
        raise ValueError(f"it is not a URL with a valid port: write {SHAPE}") from None
    if parts.scheme not in ("http", "https"):
        if dsn.strip()[:1] in ("'", '"'):  # `docker run --env-file` keeps them
            raise ValueError("it is written in quotes: remove them")
        if "$" in dsn:
            raise ValueError("it contains a variable that was not expanded")
        raise ValueError(f"it does not begin with http:// or https://: write {SHAPE}")
    if not parts.username:
        raise ValueError(f"the public key before the @ is missing: write {SHAPE}")
    if not parts.hostname:
        raise ValueError(f"the host is missing: write {SHAPE}")
    project = parts.path.rpartition("/")[2]
    if parts.path.rstrip("/") and not project:
        raise ValueError(f"it ends with a slash: remove it: write {SHAPE}")
    if not (project.isdecimal() and len(project) <= _MAX_DIGITS):
        raise ValueError(f"it does not end with the project's number: write {SHAPE}")
    host = parts.hostname if port is None else f"{parts.hostname}:{port}"
    organization = _ORGANIZATION.match(parts.hostname)
    return Destination(host, str(int(project)), parts.username, organization[1] if organization else None)


def dsn_finding(dsn: str | None) -> Finding:
    """Return a finding about a DSN: whether it is set and valid. Its text shows no part of the key."""
    if not dsn:
        text = "SENTRY_DSN is not set: nothing is sent to Sentry; metrics, tags and the error budget work"
        return Finding("sentry", "warn", text, f"to turn it on, set SENTRY_DSN to {SHAPE}", "SLO140")
    try:
        return Finding("sentry", "ok", str(read_dsn(dsn)))
    except ValueError as error:
        return Finding("sentry", "fail", f"SENTRY_DSN is not a valid DSN: {error}", "Sentry is off", "SLO141")
