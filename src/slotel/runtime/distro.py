"""The entry points of `opentelemetry-instrument`: the distro sets defaults, the configurator starts the runtime.

They never raise. The SDK is imported after the defaults are set, because its import fails if a limit in the
environment is not a number.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # untyped upstream

from slotel.runtime.logs import LOG, show_logs
from slotel.runtime.setup.defaults import set_defaults
from slotel.runtime.setup.instrumentations import instrumentor_options, load
from slotel.runtime.setup.uninstrumented import watch_frameworks
from slotel.runtime.upstream.stdlib import in_subinterpreter

_TRACKER: Final = re.compile(r"from [\w.]+\.(resource|semaphore)_tracker import")


def runs_no_app(command: Sequence[str]) -> bool:
    """Return whether a command line is a resource tracker's, which multiprocessing and loky start beside workers.

    >>> runs_no_app(["python3", "-c", "from multiprocessing.resource_tracker import main;main(5)"])
    True
    >>> runs_no_app(["python3", "-c", "from loky.backend.resource_tracker import main; main(5, False)"])
    True
    """
    return any(_TRACKER.match(word) for word in command)


def _is_left_alone() -> bool:
    """Return whether slotel does not start in this interpreter, so that nothing needs to be instrumented."""
    return runs_no_app(sys.orig_argv) or (in_subinterpreter() and "mod_wsgi" not in sys.modules)


class SlotelDistro(BaseDistro):  # type: ignore[misc]  # untyped upstream
    """Entry point `opentelemetry_distro`: defaults only."""

    def _configure(self, **kwargs: Any) -> None:
        del kwargs
        set_defaults(os.environ)
        watch_frameworks(os.environ)

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Load one instrumentation, for web frameworks when the app imports them; a failure is logged."""
        if _is_left_alone():
            return

        def instrument() -> None:
            from slotel.runtime.requests.calls import count_refused_call
            from slotel.runtime.requests.current import has_server_span
            from slotel.runtime.requests.layers.aiohttp import measure_when_sent
            from slotel.runtime.requests.span_name import RootedAttributes, place_under
            from slotel.runtime.state import current
            from slotel.runtime.upstream.otel.instrumentations.instrumentors import patch_instrumentation

            runtime = current()
            if runtime is None:
                more = instrumentor_options(entry_point)
            else:
                more = instrumentor_options(
                    entry_point, runtime.service.asgi_spans, runtime.http_server_metrics
                )
            super(SlotelDistro, self).load_instrumentor(entry_point, **more, **kwargs)
            LOG.debug("instrumented: %s", entry_point.name)
            patch_instrumentation(
                entry_point.name,
                place_under=place_under,
                rooted=RootedAttributes,
                refused=count_refused_call,
                has_span=has_server_span,
                measure_late=measure_when_sent,
            )

        load(entry_point, instrument)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Disable the garbage collector while modules are imported: nearly all of their objects stay alive."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # both together move all objects into the oldest generation


class SlotelConfigurator:
    """Entry point `opentelemetry_configurator`: starts the runtime around the SDK."""

    def configure(self, **kwargs: Any) -> None:
        """Start slotel; called once.

        Args:
            kwargs: the arguments that `opentelemetry-instrument` gives to a configurator.
        """
        if runs_no_app(sys.orig_argv):
            return
        show_logs()
        if os.environ.get("OTEL_CONFIG_FILE", "").strip():
            kwargs = {}  # declarative configuration takes none, and would warn about each
        try:
            with _without_collections():
                from slotel.runtime.bootstrap import start
                from slotel.runtime.upstream.otel.provider import configure_from_environment

                start(os.environ, configure_sdk=lambda: configure_from_environment(**kwargs))
        except Exception:  # noqa: BLE001 `opentelemetry-instrument` would leave the app wholly uninstrumented
            if in_subinterpreter():  # an isolated one: the SDK starts threads when it is imported
                LOG.warning("slotel does not start in a subinterpreter, where the SDK cannot be imported")
            else:
                LOG.exception("slotel could not start. The application runs without it. Please report this")
