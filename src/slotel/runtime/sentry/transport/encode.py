"""Events and envelopes as JSON and compressed bytes. Knows orjson and isal if they are there; sends nothing."""

from __future__ import annotations

import json
import math
import re
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

MAX_BYTES: Final = 900_000
"""Most bytes of one transaction, uncompressed. Sentry's server accepts 1 MiB."""
_CUT: Final = 2000
_DEEPEST: Final = 12
_INT: Final = 2**63
_LONG_NUMBER: Final = re.compile(rb"(?<=[:\[,])-?[0-9]{19}")
"""Perhaps an integer of more than 64 bits. Where it stands in a text, a second look costs time, and nothing else."""
_GZIP: Final = 31
"""zlib's window bits for a gzip header."""
_FASTEST: Final = 1
"""gzip level: 9 is no smaller for these payloads."""


def serialize(event: Mapping[str, Any]) -> bytes:
    """Return the event as JSON that strict parsers take: no NaN, no lone surrogate, no NUL."""
    try:
        text = _DUMPS(event)
        is_odd = b"\\u0000" in text or (_DUMPS is _plain_dumps and _LONG_NUMBER.search(text) is not None)
    except Exception:  # noqa: BLE001 an object of the app may raise anything
        is_odd = True
    return _DUMPS(_clean(event)) if is_odd else text


def shortened(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with its long strings cut: the last resort for one that is too large."""
    cut = _clean(event, _CUT)
    assert isinstance(cut, dict)  # noqa: S101 a mapping stays one
    return cut


def envelope(
    headers: Mapping[str, Any], items: Iterable[tuple[Mapping[str, Any], bytes]], now: float
) -> bytes:
    """Return the envelope of these headers and items, each with headers of its own and a payload.

    Args:
        now: seconds since 1970; Sentry's server corrects a wrong clock by it.
    """
    lines = [serialize({**headers, "sent_at": _rfc3339(now)})]
    for item, payload in items:
        lines += serialize({**item, "length": len(payload)}), payload
    return b"\n".join((*lines, b""))


def compress(body: bytes) -> bytes:
    """Return the bytes gzipped. This lets go of the interpreter's lock, like every compressor."""
    return _COMPRESS(body)


def is_gzip(body: bytes) -> bool:
    """Return whether the bytes are gzipped; an envelope that is not begins with `{`."""
    return body[:1] == b"\x1f"


def decompress(body: bytes) -> bytes:
    """Return the bytes as they were before `compress`; bytes that are not gzipped as they are."""
    return zlib.decompress(body, _GZIP) if is_gzip(body) else body


def sent_later(body: bytes, now: float) -> bytes:
    """Return the envelope with `now` as the time of sending: the server shifts all times by an old one."""
    header, _, rest = decompress(body).partition(b"\n")
    return _COMPRESS(_DUMPS({**json.loads(header), "sent_at": _rfc3339(now)}) + b"\n" + rest)


@lru_cache(1000)
def utc_second(seconds: int) -> str:
    """Return a second since 1970 as RFC 3339 writes it, without a zone; that of many envelopes is the same.

    >>> utc_second(1_700_000_000)
    '2023-11-14T22:13:20'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _rfc3339(now: float) -> str:
    return f"{utc_second(int(now))}.{int(now % 1 * 1000):03d}Z"


def _odd(value: Any) -> Any:
    """Return a value that JSON does not know as one that it knows: an annotated value, a set, a datetime, an object."""
    if hasattr(value, "metadata") and hasattr(value, "value"):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return _text(value)


def _text(value: Any) -> str:
    """Return an object's text, even if its own code fails."""
    try:
        return repr(value)[:_CUT]
    except Exception:  # noqa: BLE001 the app's own code
        return f"<{type(value).__name__}>"


def _clean(value: Any, longest: int | None = None, depth: int = _DEEPEST) -> Any:
    """Return a value as JSON takes it everywhere; what cannot be read is written as text."""
    try:
        return _cleaned(value, longest, depth)
    except Exception:  # noqa: BLE001 a mapping or an attribute of the app that raises
        return _clean(_text(value), longest)


def _cleaned(value: Any, longest: int | None, depth: int) -> Any:  # noqa: PLR0911 one for each kind
    if isinstance(value, str):
        value = str.__str__(value).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
        return value if longest is None or len(value) <= longest else value[:longest] + "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_INT <= value < _INT else _integer(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if depth == 0:
        return _clean(_text(value), longest)
    if isinstance(value, Mapping):
        below = {key: item for key, item in value.items()}  # noqa: C416 a mapping may be anything
        return {_key(key): _clean(item, longest, depth - (key != "spans")) for key, item in below.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, longest, depth - 1) for item in value]
    return _clean(_odd(value), longest, depth - 1)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(_clean(key))
    try:
        return str(_clean(str(key)))
    except Exception:  # noqa: BLE001 the app's own code
        return _text(key)


def _integer(value: int) -> str:
    """Return the text of a number that 64 bits do not hold; Python refuses decimals of more than 4,300 digits."""
    try:
        return str(int(value))
    except ValueError:
        return hex(value)[:_CUT]


_ENCODE: Final = json.JSONEncoder(
    ensure_ascii=False,
    separators=(",", ":"),
    allow_nan=False,
    default=_odd,
    check_circular=False,  # a circle ends as RecursionError, and `serialize` has an answer to that
).encode


def _plain_dumps(value: Any) -> bytes:
    return _ENCODE(value).encode("utf-8")


def _dumps() -> Callable[[Any], bytes]:
    try:
        import orjson
    except ImportError:
        return _plain_dumps
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    dumps: Callable[..., bytes] = orjson.dumps
    return lambda value: dumps(value, default=_odd, option=options)


def _zlib_compress(data: bytes) -> bytes:
    compressor = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP)
    return compressor.compress(data) + compressor.flush()


def _compress() -> Callable[[bytes], bytes]:
    try:
        from isal import isal_zlib
    except ImportError:
        return _zlib_compress
    compress: Callable[..., bytes] = isal_zlib.compress
    return lambda data: compress(data, _FASTEST, _GZIP)


_DUMPS: Final = _dumps()
_COMPRESS: Final = _compress()
