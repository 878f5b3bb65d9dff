"""Returns a text as another reader sees it: a terminal, a browser, a decoder of UTF-16 or of base64. Pure.

The redactor looks at a text as it is, and then at these readings of it: a key that one of them shows is hidden in the
text by nothing else. Every pattern is bounded, so that no text takes more than a time proportional to its length.
"""

from __future__ import annotations

import binascii
import codecs
import re
import unicodedata
from collections.abc import Callable
from html import unescape
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern

_WIDTH: Final = 0xFEE0
"""Between a character of full width and its ASCII one."""

_COMMANDS: Final = lazy_pattern(
    r"(?:\x1b|\x9b|(?<!\\)\\{1,64}(?:x1b|u001b|033|e))(?:\[[\d;:?]{0,64}[A-Za-z]|\][^\x07\x1b\\]{0,8};[^\x07\x1b\\;]{0,64};)"
)
"""Colours and other commands of a terminal, also escaped, and the begin of a link."""
_REMOVED: Final = lazy_pattern(r".\x08")
"""A character and the backspace that removes it."""
_UNSEEN: Final = lazy_pattern(r"[\x01-\x07\x0e-\x1a\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
"""Invisible characters."""
_CONTROL: Final = lazy_pattern(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NULS: Final = lazy_pattern(r"(?:[^\x00]\x00{1,3}){4}|(?:\x00{1,3}[^\x00]){4}")
_ESCAPED_NUL: Final = lazy_pattern(r"\\{1,4}(?:x00|u0000)")
_ESCAPED_NULS: Final = lazy_pattern(
    r"(?:[^\\]\\{1,4}(?:x00|u0000)(?:\\{1,4}(?:x00|u0000)){0,2}){4}|(?:(?:\\{1,4}(?:x00|u0000)){1,3}[^\\]){4}"
)
"""UTF-16 and UTF-32 that were read as single bytes."""
_BYTES: Final = lazy_pattern(r"(?<!\\)(?:(?:\\{1,4}x[0-9A-Fa-f]{2}){1,64}|(?:\\{1,4}[0-3][0-7]{2}){1,64})")
"""Bytes as a `repr` and as a shell write them."""
_BYTE: Final = lazy_pattern(r"\\(?:x([0-9A-Fa-f]{2})|([0-7]{3}))")
_POINT: Final = lazy_pattern(
    r"(?<!\\)\\{1,64}(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|U000([0-9A-Fa-f]{5}))"
)
"""Characters as JSON, JavaScript and Python escape them."""
_SIGN: Final = lazy_pattern(r"\\([\\\"'/])")
"""A quote or a backslash as a `repr` and JSON escape them, and a slash as PHP does."""
_ENTITY: Final = lazy_pattern(r"&(?:amp;|#38;){0,4}#?\w{2,8};")
"""A character of HTML, also in HTML within HTML."""
_WIDE: Final = lazy_pattern(r"[\uff01-\uff5e\U0001d400-\U0001d7ff]")
_DEEP: Final = lazy_pattern(r"%(?:25){4,}(?=[0-9A-Fa-f]{2})")
"""A percent sign that is encoded again and again."""
_BASE64: Final = lazy_pattern(
    r"[CDI-Za-f](?<![A-Za-z0-9+/_-].)[A-Za-z0-9+/_-]{3}(?:[CDI-Za-f][A-Za-z0-9+/_-]{3}){5}[A-Za-z0-9+/_-]*={0,2}"
)
_HEX: Final = lazy_pattern(
    r"[2-70](?<![A-Za-wyz0-9].)[0-9a-fA-F](?:[2-7][0-9a-fA-F]|0[789aAdD]|1[bB]){11,}(?![0-9A-Za-z])"
)
"""Runs whose first characters stand for ASCII: others are numbers, names, paths."""
_BINARY: Final = re.compile(rb"[\x00-\x06\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
"""What no text has: a bell, a backspace and an escape are a terminal's."""
_LONGEST_PACKED: Final = 1_000_000
_UTF_8: Final = codecs.getincrementaldecoder("utf-8")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def plain(text: str) -> str:
    r"""Return the text as another reader sees it: itself, mostly.

    >>> plain("p\\x61ss&#61;x"), plain("t\x00o\x00k\x00e\x00n\x00")
    ('pass=x', 'token')
    """
    if "%25252525" in text:
        text = _DEEP.sub("%25", text)
    if "&" in text and ";" in text:
        text = _ENTITY.sub(lambda found: unescape(found[0]), text)
    if "\x00" in text and _NULS.search(text) is not None:
        text = text.replace("\x00", "")
    if "\\" in text:
        text = _unescaped(text)
    if not text.isascii():
        text = _WIDE.sub(_narrow, text)
    if "\\" in text or "\x1b" in text or "\x9b" in text:
        text = _COMMANDS.sub("", text)
    if "\x08" in text:
        text = _REMOVED.sub("", text)
    return _UNSEEN.sub("", text)


def is_plain(text: str) -> bool:
    """Whether a text has no other reading, quickly: most have none."""
    return (
        text.isascii()
        and "\\" not in text
        and ("&" not in text or ";" not in text)
        and (text.isprintable() or _CONTROL.search(text) is None)
        and "%25252525" not in text
    )


def _unescaped(text: str) -> str:
    if "00" in text and _ESCAPED_NULS.search(text) is not None:
        text = _ESCAPED_NUL.sub("", text)
    text = _BYTES.sub(_of_bytes, text)
    text = _POINT.sub(_character, text)
    return _SIGN.sub(r"\1", text)


def _of_bytes(found: re.Match[str]) -> str:
    data = bytes(int(each[1], 16) if each[1] else int(each[2], 8) for each in _BYTE.finditer(found[0]))
    try:
        text = _UNSEEN.sub("", data.decode())
    except UnicodeDecodeError:
        return found[0]
    return text if all(_is_shown(character) for character in text) else found[0]


def _character(found: re.Match[str]) -> str:
    number = int(found[1] or found[2] or found[3], 16)
    if number > 0x10FFFF:  # noqa: PLR2004 the last one of Unicode
        return found[0]
    character = chr(number)
    if unicodedata.category(character) == "Cf" or _UNSEEN.match(character) is not None:
        return ""
    return character if _is_shown(character) else found[0]


def _is_shown(character: str) -> bool:
    """Whether a character may be read in the place of its escape: a quote or a backslash would end something."""
    return character.isprintable() and character not in "\"'\\"


def _narrow(found: re.Match[str]) -> str:
    character = found[0]
    if character <= "\uff5e":
        return chr(ord(character) - _WIDTH)
    return unicodedata.normalize("NFKC", character)


def wide_encoding(data: bytes) -> str | None:
    """Return the encoding of bytes that are UTF-16 or UTF-32; None for any others.

    >>> wide_encoding("token=x".encode("utf-16-be")), wide_encoding(b"token=x")
    ('utf-16-be', None)
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding if _is_readable(data, encoding) else None
    if b"\x00" not in data:
        return None
    for encoding, width, shown in (
        ("utf-32-le", 4, 0),
        ("utf-32-be", 4, 3),
        ("utf-16-le", 2, 0),
        ("utf-16-be", 2, 1),
    ):
        if len(data) % width or len(data) < _SHORTEST * width:
            continue
        least = len(data) // width // 2
        hollow = sum(data[place::width].count(0) for place in range(width) if place != shown)
        if (
            hollow >= least * (width - 1)
            and data[shown::width].count(0) < least
            and _is_readable(data, encoding)
        ):
            return encoding
    return None


_MARKS: Final = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Byte order marks. Source: Unicode, section 23.8."""
_SHORTEST: Final = 5


def _is_readable(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def without_packed(text: str, redact: Callable[[str], str]) -> str:
    """Return the text without what is packed in it as base64 or in hexadecimal digits and is changed by `redact`.

    >>> without_packed("state=eyJwYXNzd29yZCI6ICJodW50ZXIyIn0=", lambda text: "")
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
        data = b"" if len(run) > _LONGEST_PACKED else unpack(run)
        # what is cut off may end within a character: an incremental decoder waits for the rest of it
        return None if _BINARY.search(data) is not None else _UTF_8().decode(data)
    except ValueError:
        return None


def _of_base64(run: str) -> bytes:
    run = run.rstrip("=")
    if len(run) % 4 == 1:
        run = run[:-1]
    return binascii.a2b_base64(run.translate(_URL_SAFE) + "=" * (-len(run) % 4))
