"""Puts a processor before the others of the SDK's logger provider: its list of processors is a private name.

Where a release has no such list, the processor stands last: it cannot change what those before it were given.
"""

from __future__ import annotations

import sys
from typing import Any


def logger_provider() -> Any | None:
    """Return the SDK's logger provider, if the process has one; imports nothing for it."""
    api, sdk = sys.modules.get("opentelemetry._logs"), sys.modules.get("opentelemetry.sdk._logs")
    if api is None or sdk is None:
        return None
    provider = api.get_logger_provider()
    return provider if isinstance(provider, sdk.LoggerProvider) else None


def put_first(provider: Any, processor: Any) -> bool:
    """Add a processor before those that stand; return whether it is first."""
    every = getattr(provider, "_multi_log_record_processor", None)
    standing = getattr(every, "_log_record_processors", None)
    if not isinstance(standing, (tuple, list)):
        provider.add_log_record_processor(processor)
        return False
    every._log_record_processors = type(standing)((processor, *standing))  # type: ignore[union-attr]  # noqa: SLF001 see the module's first lines
    return True
