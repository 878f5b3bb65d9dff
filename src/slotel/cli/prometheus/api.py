"""Asks a Prometheus, or whatever speaks its HTTP API (Thanos, Mimir, VictoriaMetrics), for queries and its state."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

POINTS: Final = 10_000
"""Most points of a series in one response: Prometheus returns at most 11,000."""
TIMEOUT: Final = 120.0
MAX_BYTES: Final = 512_000_000


class PrometheusError(RuntimeError):
    """The store cannot be asked, or refuses; the text says what it said."""


class PrometheusApi:
    """Prometheus' HTTP API.

    Args:
        url: address, with a path if there is one: `https://prom.example/prometheus`. A user and password in it are sent
            as Authorization, unless a header is, and are in no message.
        headers: `Name: value` each.
    """

    def __init__(self, url: str, headers: Sequence[str] = ()) -> None:
        if not url.startswith(("http://", "https://")):
            raise PrometheusError(f"{url!r}: an address starts with https:// or http://")
        try:
            parts = urllib.parse.urlsplit(url)
        except ValueError as error:
            raise PrometheusError(f"{error}: give https://HOST[:PORT][/PATH]") from error
        credentials, at, host = parts.netloc.rpartition("@")
        self._url = parts._replace(netloc=host).geturl().rstrip("/")
        self._headers = {}
        if at:
            encoded = b64encode(urllib.parse.unquote(credentials).encode()).decode()
            self._headers["Authorization"] = f"Basic {encoded}"
        for header in headers:
            name, colon, value = header.partition(":")
            if not colon:
                raise PrometheusError("--header: write 'Name: value'")
            self._headers[name.strip().capitalize()] = value.strip()  # as urllib does: one of each

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the samples of an expression."""
        moment = {"time": f"{at:.3f}"} if at is not None else {}
        data = self.get("query", {"query": expr, **moment})
        found = data.get("result", [])
        return [{"metric": {}, "value": found}] if data.get("resultType") == "scalar" else list(found)

    def range(
        self, expr: str, start: int, length: int, step: int
    ) -> dict[tuple[tuple[str, str], ...], list[float | None]]:
        """Return labels → a value for each step; None where there is no sample, or one that is no number."""
        found: dict[tuple[tuple[str, str], ...], list[float | None]] = {}
        for first in range(0, length, POINTS):
            last = min(first + POINTS, length) - 1
            asked = {"query": expr, "start": start + first * step, "end": start + last * step, "step": step}
            for series in self.get("query_range", asked).get("result", []):
                labels = tuple(sorted(series["metric"].items()))
                values = found.setdefault(labels, [None] * length)
                for moment, value in series["values"]:
                    number = float(value)
                    if not math.isnan(number):
                        values[round((float(moment) - start) / step)] = number
        return found

    def left_open(self) -> bool:
        """Return whether a range leaves its first instant out: not in Prometheus 2."""
        try:
            version = str(self.get("status/buildinfo", {}).get("version", ""))
        except PrometheusError:
            return True
        return not version.startswith("2.")

    def get(self, path: str, parameters: Mapping[str, object]) -> Any:
        """Return the data of an answer.

        Raises:
            PrometheusError: there is none.
        """
        asked = urllib.parse.urlencode(parameters)
        address, body = f"{self._url}/api/v1/{path}", None
        if path.startswith("query"):
            body = asked.encode()
        elif asked:
            address += f"?{asked}"
        request = urllib.request.Request(address, body, self._headers)  # noqa: S310 the scheme is checked
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                document = json.loads(answer.read(MAX_BYTES))
        except urllib.error.HTTPError as error:
            raise PrometheusError(f"{self._url}: {_said(error)}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise PrometheusError(f"{self._url}: {reason}") from error
        if not isinstance(document, dict) or document.get("status") != "success":
            raise PrometheusError(
                f"{self._url} is not Prometheus' HTTP API: its answer has no status 'success'"
            )
        return document.get("data") or {}


def _said(error: urllib.error.HTTPError) -> str:
    try:
        said = json.loads(error.read(100_000)).get("error", "")
    except (OSError, ValueError, AttributeError):
        said = ""
    return f"HTTP {error.code} {said or error.reason}"
