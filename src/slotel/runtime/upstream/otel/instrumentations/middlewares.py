"""The middlewares for any WSGI and ASGI application, which an app puts around itself by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_MIDDLEWARES: Final = tuple(
    Probe(
        f"opentelemetry.instrumentation.{kind}:OpenTelemetryMiddleware", "__init__",
        why="an app that puts it around itself names no meter, and the framework's instrumentation measures, too",
        without="http.server.* counts each request to an app that puts OpenTelemetryMiddleware around itself twice",
    )
    for kind in ("asgi", "wsgi")
)  # fmt: skip
_METER_PROVIDER: Final = "meter_provider"


def measure_middlewares_by(meter_provider: Any) -> None:
    """Give a meter provider to the middlewares that are given neither one nor a meter, from now on."""

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(original)

        def make(*args: Any, **kwargs: Any) -> None:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:  # the original says it better
                return original(*args, **kwargs)
            if given.get("meter") is None and given.get(_METER_PROVIDER) is None:
                place = list(signature.parameters).index(_METER_PROVIDER)
                if place < len(args):  # given as None, by position
                    args = (*args[:place], meter_provider, *args[place + 1 :])
                else:
                    kwargs[_METER_PROVIDER] = meter_provider
            return original(*args, **kwargs)

        return make

    for each in _MIDDLEWARES:
        each.wrap_on_import(wrap)
