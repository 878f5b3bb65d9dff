"""Sets OpenTelemetry's SDK up from the environment, which has no public function."""

from __future__ import annotations

from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_CONFIGURATOR: Final = Probe(
    "opentelemetry.sdk._configuration", "_OTelSDKConfigurator",
    why="sets the SDK up from the environment, as `opentelemetry-instrument` does for everybody",
    without="the SDK has its defaults and no exporter: nothing is sent by OTLP; Prometheus and Sentry have everything",
)  # fmt: skip


class _NoConfigurator:
    """Sets nothing up."""

    def _configure(self, **kwargs: Any) -> None:
        del kwargs


_Configurator: Final[Any] = _CONFIGURATOR.load() or _NoConfigurator


def configure_from_environment(**kwargs: Any) -> None:
    """Set the SDK up; its constructor keeps one instance for all subclasses, so it is not called.

    Args:
        kwargs: what `opentelemetry-instrument` gives to a configurator.
    """
    object.__new__(_Configurator)._configure(**kwargs)  # noqa: SLF001 what `opentelemetry-instrument` would call
