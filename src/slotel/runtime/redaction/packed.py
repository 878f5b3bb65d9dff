"""Redacts texts that are packed as base64 or as hexadecimal digits, if what they hold has a secret. Pure."""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern

_BASE64: Final = lazy_pattern(
    r"[CDI-Za-f](?<![A-Za-z0-9+/_-].)[A-Za-z0-9+/_-]{3}(?:[CDI-Za-f][A-Za-z0-9+/_-]{3}){5}[A-Za-z0-9+/_-]*={0,2}"
)
_HEX: Final = lazy_pattern(
    r"[2-70](?<![A-Za-wyz0-9].)[0-9a-fA-F](?:[2-7][0-9a-fA-F]|0[9aAdD]){11,}(?![0-9A-Za-z])"
)
"""Runs whose first characters stand for ASCII: others are numbers, names, paths."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LONGEST: Final = 1_000_000
_UTF_8: Final = codecs.getincrementaldecoder("utf-8")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def redacted(text: str, redact: Callable[[str], str]) -> str:
    """Return the text without what is packed in it and is changed by `redact`.

    >>> redacted("state=eyJwYXNzd29yZCI6ICJodW50ZXIyIn0=", lambda text: "")
    'state=[Filtered]'
    """

    def one(run: re.Match[str]) -> str:
        inner = _unpacked(run[0], bytes.fromhex if run.re is hexadecimal else _of_base64)
        return run[0] if inner is None or redact(inner) == inner else REDACTED

    hexadecimal = None
    if (found := _HEX.search(text)) is not None:
        hexadecimal = found.re
        text = _HEX.sub(one, text)
    return text if _BASE64.search(text) is None else _BASE64.sub(one, text)


def _unpacked(run: str, unpack: Callable[[str], bytes]) -> str | None:
    try:
        data = b"" if len(run) > _LONGEST else unpack(run)
        # what is cut off may end within a character: an incremental decoder waits for the rest of it
        return None if _CONTROL.search(data) is not None else _UTF_8().decode(data)
    except ValueError:
        return None


def _of_base64(run: str) -> bytes:
    run = run.rstrip("=")
    if len(run) % 4 == 1:
        run = run[:-1]
    return binascii.a2b_base64(run.translate(_URL_SAFE) + "=" * (-len(run) % 4))
