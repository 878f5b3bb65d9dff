"""Which tests are unit tests: they start no process and use no network. `make unit` runs them, and holds them to it."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

OUTSIDE = frozenset(
    {
        "subprocess", "multiprocessing", "socket", "urllib", "fork", "require_real", "Launched", "SentrySink", "Endpoint",
        "launch", "otelcol", "prom", "promtool", "alertmanager", "fleet", "otlp", "backfilled", "services_real", "forked",
        "shipping", "sentry_app", "metrics_sink", "sentry_route", "open_endpoint",
    }
)  # fmt: skip
"""Names whose use in a test module means that its tests leave the process."""


def is_unit(item: pytest.Item) -> bool:
    """Return whether a test's module, and the fixtures of its folder, stay inside the process."""
    if item.get_closest_marker("process") is not None or item.get_closest_marker("real") is not None:
        return False
    return not _leaves(item.path)


@cache
def _leaves(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    if OUTSIDE.isdisjoint(
        re.findall(r"\w+", text)
    ):  # in most files the search alone tells: parsing all takes a second
        return False
    return any(not OUTSIDE.isdisjoint(_names(node)) for node in ast.walk(ast.parse(text)))


def _names(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.alias):
        return node.name.split(".")
    if isinstance(node, ast.ImportFrom) and node.module:
        return node.module.split(".")
    return ()


def forbid_the_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every way out of the process fail with the name of the mark that allows it."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a unit test left its process: mark it with pytest.mark.process")

    def refuse_connection(*_: Any) -> NoReturn:
        # the thread of an earlier test, which still sends: who asks closes a socket that was refused, and no other
        if threading.current_thread() is not threading.main_thread():
            raise ConnectionRefusedError("a unit test is running")
        refuse()

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse_connection)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    if hasattr(os, "fork"):
        monkeypatch.setattr(os, "fork", refuse)
