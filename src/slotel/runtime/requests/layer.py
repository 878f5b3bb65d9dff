"""What stands between a server and its application, and what all such layers of a process share. Measures nothing."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.upstream.django import forced_root

if TYPE_CHECKING:
    from slotel.runtime.requests.local_roots import LocalRoot


class Pipeline(Protocol):
    """What the layers ask of the span processor."""

    def finish(self, span: ReadableSpan, local_root: LocalRoot) -> None:
        """Measure a local root whose end was held back, and hand it on."""

    def escaped(self, error: BaseException, mechanism: str) -> None:
        """Report an exception that left the application and failed no span."""


class Server:
    """What the layers of a process share.

    Args:
        environ: names URLs that the user left out of instrumentation.
    """

    def __init__(self, pipeline: Pipeline, environ: Mapping[str, str]) -> None:
        self.pipeline = pipeline
        self._excluded = _excluded_urls(environ)

    def excludes(self, attributes: Mapping[str, Any]) -> bool:
        """Return whether the user left a request's URL out of instrumentation."""
        if self._excluded is None:
            return False
        host = f"{attributes.get('server.address', '')}:{attributes.get('server.port', '')}"
        url = f"{attributes.get('url.scheme')}://{host}{attributes.get('url.path')}"
        return self._excluded.search(url) is not None


class Layer:
    """What stands between a server and its application: it looks like the application.

    Attributes:
        makes_spans: whether it makes the server spans of this application from their beginning on; None until a first
            request has shown whether an instrumentation makes them.
    """

    makes_spans: bool | None = None

    @classmethod
    def around(cls, server: Server, application: Any) -> Any:
        """Return the application with the layer around it; one that has it stays as it is."""
        return application if isinstance(application, cls) else cls(server, application)

    def __init__(self, server: Server, application: Any) -> None:
        self.server = server
        self._application = application

    def is_around(self, application: Any) -> bool:
        """Return whether nothing stands between this layer and an application."""
        return self._application is application

    @functools.cached_property
    def forced_root(self) -> str:
        """Return the root that the application's settings put before each path."""
        return forced_root(self._application)

    def __getattr__(self, name: str) -> Any:
        """Look like the application."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._application, name)


def _excluded_urls(environ: Mapping[str, str]) -> re.Pattern[str] | None:
    """Return what matches the URLs that OTEL_PYTHON_EXCLUDED_URLS and a framework's own variable leave out."""
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
