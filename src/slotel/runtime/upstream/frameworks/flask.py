"""Tells what Flask's request and Flask-Login have loaded already, so that telemetry loads nothing."""

from __future__ import annotations

from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_DATA: Final = Probe(
    "werkzeug.wrappers:Request", "_cached_data",
    why="transactions show a body that the app has read", without="Flask's transactions lack bodies that are no forms",
    level=None,  # of a request whose body was read
)  # fmt: skip
_USER: Final = Probe(
    "flask.ctx:_AppCtxGlobals", "_login_user",
    why="a transaction shows the user that Flask-Login has loaded", without="transactions of Flask lack the user",
    level=None,  # of a request whose user was asked for
)  # fmt: skip


def has_read_body(request: Any) -> bool:
    """Whether the app has read the whole body of a request."""
    return "form" in vars(request) or _DATA.of(request) is not None


def has_loaded_user(g: Any) -> bool:
    """Whether Flask-Login knows the user of a request."""
    return _USER.of(g) is not None
