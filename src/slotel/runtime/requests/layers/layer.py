"""The wrapper between a server and its application, and what all wrappers of a process share. It measures nothing."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.upstream.frameworks.django import forced_root

if TYPE_CHECKING:
    from slotel.runtime.requests.local_roots import LocalRoot


class Pipeline(Protocol):
    """The part of the span processor that the layers use."""

    def finish(self, span: ReadableSpan, local_root: LocalRoot) -> None:
        """Measure and export a local root whose end was postponed until its response had ended."""

    def escaped(self, error: BaseException, mechanism: str) -> None:
        """Report an exception that left the application and failed no span."""


class Server:
    """The state that the layers of a process share.

    Args:
        environ: names URLs that the user left out of instrumentation.
    """

    def __init__(self, pipeline: Pipeline, environ: Mapping[str, str]) -> None:
        self.pipeline = pipeline
        self._excluded = _excluded_urls(environ)

    def excludes(self, attributes: Mapping[str, Any]) -> bool:
        """Return whether the user excluded a request's URL from instrumentation."""
        if self._excluded is None:
            return False
        host = f"{attributes.get('server.address', '')}:{attributes.get('server.port', '')}"
        url = f"{attributes.get('url.scheme')}://{host}{attributes.get('url.path')}"
        return self._excluded.search(url) is not None


class Layer:
    """A wrapper between a server and its application. It has the application's attributes.

    Attributes:
        makes_spans: whether it makes the server spans of this application from their beginning on; None until a first
            request has shown whether an instrumentation makes them.
    """

    makes_spans: bool | None = None

    @classmethod
    def around(cls, server: Server, application: Any) -> Any:
        """Return the wrapped application; one that is wrapped already is returned unchanged."""
        return application if isinstance(application, cls) else cls(server, application)

    def __init__(self, server: Server, application: Any) -> None:
        self.server = server
        self._application = application

    def is_around(self, application: Any) -> bool:
        """Return whether this layer directly wraps an application."""
        return self._application is application

    @functools.cached_property
    def forced_root(self) -> str:
        """Return the root path that the application's settings put before each path."""
        return forced_root(self._application)

    def __getattr__(self, name: str) -> Any:
        """Return the application's attribute."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._application, name)


def _excluded_urls(environ: Mapping[str, str]) -> re.Pattern[str] | None:
    """Return a matcher of the URLs that OTEL_PYTHON_EXCLUDED_URLS and the frameworks' own variables exclude."""
    parts = [
        part.strip()
        for name, value in environ.items()
        if name.startswith("OTEL_PYTHON_") and name.endswith("EXCLUDED_URLS")
        for part in value.split(",")
        if part.strip()
    ]
    with contextlib.suppress(re.error):
        return re.compile("|".join(parts)) if parts else None
    return None
