"""An objective's selection in the language of Sentry's search. What it cannot say is refused, not dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slotel.config.slo import Slo

CLIENT_FAULTS: Final = (
    "already_exists", "failed_precondition", "invalid_argument", "not_found", "out_of_range", "permission_denied",
    "resource_exhausted", "unauthenticated",
)  # fmt: skip
"""Statuses of 4xx answers: Sentry's failure_rate() counts them as failed, slotel does not count them as bad."""

_FIELDS: Final = {
    "http.request.method": "http.method",
    "http.method": "http.method",
    "http.response.status_code": "http.status_code",
}
_ROUTE: Final = "http.route"


class NotInSentryError(ValueError):
    """The selection has a part that Sentry's search cannot express."""


def search(slo: Slo) -> str:
    """Return the search for an objective's transactions.

    Raises:
        NotInSentryError: the objective counts by something that Sentry does not hold, with the reason.

    >>> from slotel.config.slo import Selection
    >>> search(Slo("pay", 0.01, 0.99, latency=0.3, select=Selection(include={"http.route": ("/pay*",)}, exclude={})))
    'transaction:"* /pay*"'
    """
    if slo.queries is not None:
        raise NotInSentryError("it is given as PromQL")
    if slo.bad.attributes:
        raise NotInSentryError(f"what is bad is told by attributes ({', '.join(slo.bad.attributes)})")
    if slo.slices is not None:
        raise NotInSentryError("it counts slices of time")
    parts = [*_terms(slo.select.include, ""), *_terms(slo.select.exclude, "!")]
    if slo.latency is None:
        parts.append(f"!transaction.status:[{', '.join(CLIENT_FAULTS)}]")
    return " ".join(parts)


def _terms(selection: Mapping[str, tuple[str, ...]], sign: str) -> list[str]:
    found = []
    for key, values in selection.items():
        if key == _ROUTE:
            # A transaction's name is method and route.
            terms = [f'{sign}transaction:"* {_quoted(value)}"' for value in values]
        else:
            terms = [f'{sign}{_FIELDS.get(key, key)}:"{_quoted(value)}"' for value in values]
        if sign or len(terms) == 1:
            found += terms
        else:
            found.append(f"({' OR '.join(terms)})")
    return found


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
