"""OpenTelemetry's logs, whose API and SDK stand in private modules: redacted before any processor, and flushed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.upstream.probe import SLOWER, Probe

_API: Final = Probe(
    "opentelemetry", "_logs",
    why="gives the process's logger provider",
    without="it is looked for among all objects, once",
    level=SLOWER,
)  # fmt: skip
_PROCESSOR: Final = Probe(
    "opentelemetry.sdk._logs:LoggerProvider", "_multi_log_record_processor",
    why="log records are redacted before every processor, those that are added later, too",
    without="the provider's one attribute that is called for each log record is taken",
    level=SLOWER,
)  # fmt: skip

_ADD: Final = "add_log_record_processor"


def logger_provider() -> Any | None:
    """Return the SDK's logger provider, if the process has one; imports nothing for it."""
    api = sys.modules.get(f"opentelemetry.{_API.name}")
    if api is not None:
        provider = api.get_logger_provider()
        return provider if hasattr(provider, _ADD) else None
    if not any(name.startswith("opentelemetry.sdk.") and "logs" in name for name in sys.modules):
        return None
    _API.tell()
    kinds = (each for each in gc.get_objects() if type(each).__name__ == "LoggerProvider")
    return next((each for each in kinds if hasattr(type(each), _ADD)), None)


def redact_before_processors(provider: Any, redact: Callable[[Any], None]) -> bool:
    """Redact each log record before the provider's processors get it; without a way to do so, shut the provider down.

    Args:
        redact: changes a log record in place; never raises.

    Returns whether log records are exported.
    """
    active = _PROCESSOR.of(provider)
    if active is None:
        held = [each for each in vars(provider).values() if callable(getattr(each, "on_emit", None))]
        active = held[0] if len(held) == 1 else None
    if active is None:
        provider.shutdown()
        return False
    process = active.on_emit

    def on_emit(log_record: Any, *args: Any, **kwargs: Any) -> None:
        redact(log_record)
        process(log_record, *args, **kwargs)

    active.on_emit = on_emit
    return True


def flush_logs(seconds: float) -> None:
    """Export what the process's logger provider holds, within so many seconds."""
    flush = getattr(logger_provider(), "force_flush", None)
    if flush is not None:
        flush(int(seconds * 1000))
