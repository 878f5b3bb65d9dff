"""Sentry's envelope format, bytes to values; nothing is judged."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Envelope:
    """One envelope: its header, and each item's header with its payload (JSON decoded; else bytes)."""

    project: str
    header: Mapping[str, Any]
    items: tuple[tuple[Mapping[str, Any], Any], ...]

    def of_type(self, kind: str) -> list[Any]:
        """Return the payloads of the items of one type, such as `transaction` or `event`."""
        return [payload for header, payload in self.items if header.get("type") == kind]


def parse_envelope(body: bytes, project: str = "") -> Envelope:
    """Parse the (already decompressed) bytes of an envelope.

    Raises:
        ValueError: a header is no JSON object, or an item is shorter than its `length`.

    Source: develop.sentry.dev, "Envelopes", serialization format.
    """
    line, _, rest = body.partition(b"\n")
    header = _json_object(line)
    items: list[tuple[Mapping[str, Any], Any]] = []
    while rest.strip(b"\n"):
        line, _, rest = rest.partition(b"\n")
        if not line:
            continue
        item = _json_object(line)
        length = item.get("length")
        if length is None:
            payload, _, rest = rest.partition(b"\n")
        elif not isinstance(length, int) or length < 0 or length > len(rest):
            raise ValueError(f"an item of length {length!r}, but {len(rest)} bytes are left")
        else:
            payload, rest = rest[:length], rest[length:]
        items.append((item, _decoded(payload)))
    return Envelope(project=project, header=header, items=tuple(items))


def _json_object(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {line[:80]!r}")  # noqa: TRY004 - one error type for bad bytes
    return value


def _decoded(payload: bytes) -> Any:
    if payload[:1] not in (b"{", b"["):
        return payload
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return the body without its content encoding: gzip, deflate, br (sentry-sdk, if brotli is installed) or none.

    Raises:
        ValueError: the encoding is unknown, its package is not installed, or the bytes are damaged.
    """
    try:
        if encoding in ("", "identity"):
            return body
        if encoding == "gzip":
            return gzip.decompress(body)
        if encoding == "deflate":
            return zlib.decompress(body)
        if encoding == "br":
            return _from_brotli(body)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"damaged {encoding}: {error}") from error
    raise ValueError(f"unknown content encoding {encoding!r}")


def _from_brotli(body: bytes) -> bytes:
    try:
        import brotli
    except ImportError:
        try:
            import brotlicffi as brotli
        except ImportError as error:
            raise ValueError("content encoding 'br': run: pip install brotli, where the sink runs") from error
    try:
        return bytes(brotli.decompress(body))
    except brotli.error as error:
        raise ValueError(f"damaged br: {error}") from error
