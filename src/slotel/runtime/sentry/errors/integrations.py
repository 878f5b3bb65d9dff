"""sentry-sdk's own integrations, each set up when the app imports its library.

Setting all up at the start would import all their libraries. slotel leaves out those that it replaces (`frameworks.py`)
and those that only trace, which OpenTelemetry does. An exception that two of them report is one event, see `linker.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from inspect import signature
from typing import Any, Final

import sentry_sdk
import wrapt
from sentry_sdk.integrations import DidNotEnable, Integration, setup_integrations

from slotel.runtime.logs import LOG
from slotel.runtime.upstream.sentry.integrations import (
    auto_enabling_integrations,
    ignore_unreadable_bodies,
    is_setting_up,
    superseding_integrations,
)

REPLACED: Final = frozenset({"celery", "django", "fastapi", "flask", "starlette"})
"""Modules of sentry_sdk.integrations whose error capture `frameworks.py` does."""
SET_UP: Final[set[str]] = set()
"""Those of them that `frameworks.py` has set up in this process: sentry-sdk sets up the first one of each name only."""
ONLY_TRACING: Final = frozenset(
    {"asyncpg", "boto3", "clickhouse_driver", "httpx", "httpx2", "pymongo", "redis", "sqlalchemy"}
)
"""They report no errors, but make spans and breadcrumbs of calls, which the trace has already."""
_LIBRARIES: Final = {
    "aiohttp": "aiohttp.web",
    "google_genai": "google.genai",
    "huey": "huey.api",
    "langchain": "langchain_core",
    "openai_agents": "agents",
    "pyramid": "pyramid.router",
    "tornado": "tornado.web",
}
"""Module of sentry_sdk.integrations → the module whose import it waits for; mostly they have the same name."""


_PACKAGES: Final = {
    "langchain": ("langchain-core",),
    "pydantic_ai": ("pydantic-ai-slim", "pydantic-ai"),
}
"""Integration → the packages of its library, of which one is installed; mostly the package has the same name."""


def is_superseded(identifier: str, off: Iterable[type[Integration]]) -> bool:
    """Return whether an integration gives way to another one, as OpenAI's does where LangChain is installed.

    Args:
        identifier: of the integration.
        off: integrations that the app has disabled.
    """
    names_off = {kind.identifier for kind in off}
    return any(
        _is_installed(package)
        for other in superseding_integrations(identifier) - names_off
        for package in _PACKAGES.get(other, (other.replace("_", "-"),))
    )


def _is_installed(package: str) -> bool:
    try:  # not by the module: an app may have `agents` of its own
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def library_of(integration: str) -> str | None:
    """Return the module whose import an integration waits for; None for one that slotel leaves out.

    >>> library_of("sentry_sdk.integrations.tornado.TornadoIntegration")
    'tornado.web'
    """
    name = integration.split(".")[2]
    return None if name in REPLACED or name in ONLY_TRACING else _LIBRARIES.get(name, name)


class LazyIntegrations:
    """Sets integrations up for the current client, and gives the same ones to a client that is made later.

    Attributes:
        wanted: the client's option `auto_enabling_integrations`.
    """

    def __init__(self) -> None:
        self._kinds: list[type[Integration]] = []
        self._postponed: list[str] = []
        self.wanted = True

    def wait_for_imports(self) -> None:
        """Set each integration up as soon as its library is imported; at once where it is already."""
        ignore_unreadable_bodies()
        for path in auto_enabling_integrations():
            library = library_of(path)
            if library is not None:
                wrapt.register_post_import_hook(partial(self._imported, path), library)

    def catch_up(self) -> None:
        """Set up integrations whose library was imported while sentry-sdk was setting up others."""
        postponed, self._postponed = self._postponed, []
        for path in postponed:
            self._imported(path, None)

    def missing(self, given: list[Any], disabled: list[Any]) -> list[Integration]:
        """Return integrations that were set up before and that a new client lacks.

        Args:
            given: integrations of the new client.
            disabled: its `disabled_integrations`: classes or objects.
        """
        there = {each.identifier for each in given}
        off = _classes(disabled)
        return [kind() for kind in self._kinds if kind.identifier not in there and kind not in off]

    def _imported(self, path: str, _library: Any) -> None:
        client: Any = sentry_sdk.get_client()
        if not self.wanted or not client.is_active():
            return
        if is_setting_up():
            self._postponed.append(path)
            return
        module, _, name = path.rpartition(".")
        try:
            kind: type[Integration] | None = getattr(import_module(module), name, None)
            if kind is None:  # it is being imported by the app, which will give its own to `init`
                return
            off = _classes(client.options.get("disabled_integrations") or ())
            if kind.identifier in client.integrations or kind in off or is_superseded(kind.identifier, off):
                return
            made = setup_integrations([kind()], with_defaults=False, **_options(client))
            client.integrations.update(made)
            self._kinds.append(kind)
        except DidNotEnable as error:
            LOG.debug("sentry-sdk's %s is not enabled: %s", name, error)
        except Exception as error:  # noqa: BLE001 nothing may reach the import in the app
            LOG.warning("sentry-sdk's %s failed to start: %s: %s", name, type(error).__name__, error)


def _classes(integrations: Iterable[Any]) -> set[type]:
    return {each if isinstance(each, type) else type(each) for each in integrations}


def _options(client: Any) -> dict[str, Any]:
    return {"options": client.options} if "options" in signature(setup_integrations).parameters else {}
