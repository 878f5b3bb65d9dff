"""The effective configuration, each value with where it came from: environment, slotel.yaml, or default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple

from slotel.config.load import read_configuration
from slotel.config.names import REDACTED
from slotel.config.ratio import shown
from slotel.config.service import Service, read_service
from slotel.config.slo import Slo
from slotel.runtime.redaction.redactor import Redactor

_HIDDEN: Final = frozenset({"sentry.dsn"})
"""Paths whose values hold a key."""


class Setting(NamedTuple):
    """One value of the configuration: `slos.availability.limit`, 0.001, `slotel.yaml`."""

    path: str
    value: str
    source: str


def settings(service: Service, environ: Mapping[str, str], redactor: Redactor) -> list[Setting]:
    """Return every value of the service that runs, by comparing it with what file and defaults alone would give.

    What is a secret by its path, or in a value, is hidden.
    """
    effective = dict(_flat(service))
    default = {**_of_objectives(service), **dict(_flat(read_service({}).service))}
    file_only = {name: environ[name] for name in ("SLOTEL_CONFIG",) if environ.get(name)}
    from_file = dict(_flat(read_configuration(file_only).service))
    return [
        Setting(path, _shown(path, value, redactor), _source(path, value, from_file, default))
        for path, value in effective.items()
    ]


def _of_objectives(service: Service) -> dict[str, Any]:
    """Return the defaults of each objective; of its name and its limit there is none."""
    found: dict[str, Any] = {}
    for slo in service.slos:
        found.update(_flat(Slo(slo.name, slo.limit, slo.objective), f"slos.{slo.name}"))
        for stated in ("name", "limit", "objective"):
            del found[f"slos.{slo.name}.{stated}"]
    return found


def _source(path: str, value: Any, from_file: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    if path in default and value == default[path] and from_file.get(path, value) == value:
        return "default"
    return "slotel.yaml" if path in from_file and value == from_file[path] else "environment"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dataclasses, named tuples and mappings; a list of named things by their names."""
    prefix = f"{path}." if path else ""
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _flat(getattr(value, each.name), f"{prefix}{each.name}")
    elif hasattr(value, "_fields"):
        for name in value._fields:
            yield from _flat(getattr(value, name), f"{prefix}{name}")
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}{key}")
    elif isinstance(value, tuple) and value and all(hasattr(item, "name") for item in value):
        for item in value:
            yield from _flat(item, f"{prefix}{item.name}")
    else:
        yield path, value


def _shown(path: str, value: Any, redactor: Redactor) -> str:
    if value in (None, "", ()) or (isinstance(value, Mapping) and not value):
        return "–"
    if path in _HIDDEN:
        return "set, not shown"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return shown(value, 10)
    text = ", ".join(map(str, value)) if isinstance(value, (tuple, list, frozenset, set)) else str(value)
    return REDACTED if redactor.is_sensitive(path) else redactor.text(text)
