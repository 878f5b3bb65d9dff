"""Redacts secrets within one text: in URLs, in pairs of key and value in any notation, and values by their shape.

It does not know where the text comes from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, unquote

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.config.redaction import CORES, PLACEHOLDERS
from slotel.runtime.redaction import columns, commands, named, statements
from slotel.runtime.redaction.notation import (
    FLAG,
    KEY,
    PAIR,
    PART,
    Value,
    is_hidden,
    quoted_value,
    value_of,
    value_of_flag,
    value_of_part,
)
from slotel.runtime.redaction.values import Values

SHORTEST: Final = 5
"""Least characters of a text with a key, a separator and a value."""
MAX_DECODED: Final = 4
"""How many levels of percent-encoding are decoded: a URL in a URL in a URL."""

_PLAIN: Final = re.compile(r"'?[\w.-]{0,12}'?")
"""A word that is too short for a pair or for a value with a shape."""
_USER: Final = lazy_pattern(r"(?<=://)[^/?#\s'\"<>]*@")
_ODD_USER: Final = lazy_pattern(r"(?<=://)[^/?#\s'\"<>@:\[]{0,64}:(?!\d{1,5}(?:[/?#]|$))[^\s'\"<>]{0,128}@")
"""A password with `/`, `?` or `#`, which ought to be encoded; the port of `host:80/x@y` is none."""
_ENCODED: Final = lazy_pattern(r"[^\s'\"<>&=?;,(){}|\\]+")
_ESCAPED: Final = lazy_pattern(r"%[0-9a-fA-F]{2}")
_RESERVED: Final = frozenset(":/?#@!$&'()*,;=")
"""Characters that a URL writes as they are where they mean something. Source: RFC 3986, section 2.2."""
_NETLOC: Final = lazy_pattern(
    r"(?:^|(?<=['\"]))(?!(?:mailto|sips?|xmpp|acct|im|pres|tel|urn|git|from|to|cc|bcc|by|user|author|email):)"
    r"[^\s:/@'\"]{0,128}:([^\s/'\"@]{1,128})(?=@[\w.\[\]-]{1,128}(?::\d{1,5})?(?:\\{0,64}['\"]|$))",
    re.IGNORECASE,
)
"""The address of a URL alone, as `urlsplit` takes it apart: `user:password@host`."""
_MEANS_SOMETHING: Final = lazy_pattern(r"[=@:%\"'{]")
_ESCAPE: Final = lazy_pattern(r"u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrtabfv0]")
_ESCAPES: Final = {"\\r\\n": "\u2028\r\n", "\\n": "\u2028\n", "\\t": "\u2028\t"}
"""Ends of lines and tabs as a `repr` or JSON writes them, and what they are while the text is looked at: what stands
behind one begins as it does on a line of its own."""
_UNUSUAL: Final = lazy_pattern(
    r"(?:\x1b|\\{1,64}(?:x1b|u001b))\[[\d;]{0,64}m|\\{1,64}(?:u[0-9A-Fa-f]{4}|xad)"
    r"|[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\uff01-\uff5e]"
)
"""Colours of a terminal, letters as JSON escapes them, characters that nobody sees, and those of East Asian width,
such as its colon. Where one hides a key, the text is redacted without them."""
_WIDTH: Final = 0xFEE0
"""Between a character of full width and its ASCII one."""
_ASSIGNED: Final = lazy_pattern(
    rf"(?<!{KEY})({KEY}+)[\"']?\]?"
    r"(?:[ ]?:[ ]?[A-Za-z_][\w.]{0,64}(?:\[[\w.,| \[\]]{0,64}\])?(?: \| ?None)?(?=[ ]?=))?"
    r"\s{0,4}(?::=|[!=]={0,2}|:)\s{0,4}"
)
"""A name in source code that is given a value, or compared with one."""
_TELLING: Final = lazy_pattern(r"(?i:passw|passphrase|secret|api_?key)")
"""A name that is only ever compared with a secret."""
_FAR: Final = 200
"""Characters behind a name in source code in which such a text is looked for."""
_ARGUMENT: Final = lazy_pattern(
    r"(?<![A-Za-z])(?:get|getenv|env|config|setting|setdefault|setattr|set|setenv|putenv|pop|add|header|option|argument)"
    rf"\((?:[\w.]{{1,64}},[ ]?)?[bBrRuU]{{0,2}}[\"']({KEY}+)[\"'],[ ]?(?:default[ ]?=[ ]?)?(?![\"']-)"
)
"""A call whose first text is a name: `os.getenv("TOKEN", "x")`, `setattr(self, "token", "x")`."""
_OPTION: Final = lazy_pattern(r"[\"'](-[-\w]+)[\"'],[ ]?(?![\"']-)")
"""A flag in a list of arguments, up to its value."""
_FALLBACK: Final = lazy_pattern(r"(?:,|\bdefault[ ]?=|\bor\b|\belse\b)[ ]?(?=[bBrRuUfF]{0,2}[\"'])")
"""What stands before a text that a name is given if there is nothing better: `token = get() or "x"`."""


def cores(globs: Iterable[str]) -> tuple[str, ...] | None:
    """Return lower-case texts such that every sensitive key contains one of them; None if any key may be sensitive."""
    own = []
    for glob in globs:
        longest = max(re.split(r"[*_.\-\s]+", glob.lower()), key=len)
        if not longest:
            return None
        own.append(longest)
    return (*CORES, *own)


class TextRedactor:
    """Redacts texts.

    Args:
        is_sensitive: returns whether a key's value is a secret.
        cores: what `cores` returned.
        values: redacts values by shape.
        found: called with the kind of each redacted value: `user` (of a URL), `pair`, or a shape's name.
    """

    def __init__(
        self,
        is_sensitive: Callable[[str], bool],
        cores: tuple[str, ...] | None,
        values: Values,
        found: Callable[[str], None],
    ) -> None:
        self._is_sensitive = is_sensitive
        self._any_key = cores is None
        self._cores = tuple(core for core in cores or () if core.isascii())
        self._other_cores = tuple(core for core in cores or () if not core.isascii())
        self._values = values
        self._found = found

    def __call__(self, text: str) -> str:
        """Return the text without its secrets; the same object if it has none."""
        if len(text) < SHORTEST or _PLAIN.fullmatch(text) is not None:
            return text
        if "\\" not in text and "\x1b" not in text and text.isascii():
            return self._redact(text, MAX_DECODED)
        redacted = self._shown(text)
        if _UNUSUAL.search(redacted) is not None:
            plain = _UNUSUAL.sub(_usual, redacted)
            again = self._shown(plain)
            return redacted if again == plain else again
        return redacted

    def _shown(self, text: str) -> str:
        """Redact a text, with its escapes as what they stand for."""
        if "\\" not in text or "\u2028" in text:
            return self._redact(text, MAX_DECODED)
        shown = text
        for escape, character in _ESCAPES.items():
            shown = shown.replace(escape, character)
        redacted = self._redact(shown, MAX_DECODED)
        if redacted == shown:
            return text
        for escape, character in _ESCAPES.items():
            redacted = redacted.replace(character, escape)
        return redacted

    def source(self, line: str) -> str:
        """Return a line of source code without the literals that are secrets; names and calls are kept."""
        if "@" in line and "://" in line:
            line = self._users(line)
        if '"' in line or "'" in line:
            if self._names_a_key(line):
                line = self._replaced(line, _ASSIGNED, _assigned)
                for sign, pattern in (("(", _ARGUMENT), ("-", _OPTION)):
                    if sign in line:
                        line = self._replaced(line, pattern, lambda text, key: quoted_value(text, key.end()))
            line = statements.without_credentials_in(commands.redacted(line, self._found))
        return self._values(line, self._found)

    def _redact(self, text: str, depth: int) -> str:
        if "@" in text and "://" in text:
            text = self._users(text)
        if "@" in text and ":" in text:
            text = _NETLOC.sub(self._password, text)
        if depth and "%" in text:
            text = _ENCODED.sub(lambda run: self._encoded(run[0], depth - 1), text)
        if (
            "=" in text or ":" in text or ("-" in text and (" -" in text or text[0] == "-")) or "<" in text
            or "'," in text or '",' in text or "' " in text or "BY " in text or '"\r' in text or '"\n' in text
            or '"\\' in text or " '" in text or "')" in text or "machine" in text or "&lt;" in text
        ) and self._names_a_key(text):  # fmt: skip
            text = self._pairs(text)
        return self._values(commands.redacted(text, self._found), self._found)

    def _pairs(self, text: str) -> str:
        """Redact the values of sensitive names, in each notation that the text may have."""
        if "alue" in text or "input" in text:
            for pattern in (named.NAMED, named.LOCATION, named.LINES):
                text = self._replaced(text, pattern, named.value_of_name)
        text = self._replaced(text, PAIR, value_of)
        if "name=" in text:
            text = self._replaced(text, PART, value_of_part)
        if "-" in text:
            text = self._replaced(text, FLAG, value_of_flag)
        if "login" in text:
            text = self._replaced(text, named.NETRC, value_of_flag)
        if "<" in text or "&lt;" in text:
            for pattern in (named.ELEMENT, named.NAMED_ELEMENT, named.ELEMENT_NAMED):
                text = self._replaced(text, pattern, named.value_of_element)
        if "alues" in text or "ALUES" in text or "[parameters: " in text:
            text = columns.redacted(text, self._is_sensitive, self._found)
        return statements.without_credentials_in(text)

    def _names_a_key(self, text: str) -> bool:
        if self._any_key:
            return True
        low = text.lower()
        if "identified by" in low:
            return True
        for core in self._cores:  # a generator would take twice as long
            if core in low:
                return True
        if not text.isascii() and any(core in low for core in self._other_cores):
            return True
        if "%" not in low:
            return False
        low = unquote(low)
        return any(core in low for core in (*self._cores, *self._other_cores))

    def _users(self, text: str) -> str:
        return _ODD_USER.sub(self._user, _USER.sub(self._user, text))

    def _user(self, user: re.Match[str]) -> str:
        if user[0][:-1].rpartition(":")[2] in PLACEHOLDERS:
            return user[0]
        self._found("user")
        return f"{REDACTED}@"

    def _password(self, netloc: re.Match[str]) -> str:
        if is_hidden(netloc[1]):
            return netloc[0]
        self._found("user")
        return netloc[0][: netloc.start(1) - netloc.start()] + REDACTED

    def _encoded(self, run: str, depth: int) -> str:
        """Redact what a percent-encoded part of a URL holds: another URL, or pairs."""
        if "%" not in run:
            return run
        decoded = unquote(run)
        if decoded == run or _MEANS_SOMETHING.search(decoded) is None:
            return run
        redacted = self._redact(decoded, depth)
        if redacted == decoded:
            return run
        plain = _RESERVED.intersection(_ESCAPED.sub("", run))
        return quote(redacted, safe=f"[]+{''.join(plain)}", errors="surrogatepass")

    def _replaced(
        self,
        text: str,
        pattern: re.Pattern[str],
        value_of_key: Callable[[str, re.Match[str]], Value | None],
    ) -> str:
        pieces: list[str] = []
        done = at = 0
        while key := pattern.search(text, at):
            at = key.end()
            value = value_of_key(text, key) if self._is_secret(text, key) else None
            if value is not None:
                self._found("pair")
                pieces += text[done : value.start], value.instead
                done = at = value.end
        return "".join((*pieces, text[done:])) if pieces else text

    def _is_secret(self, text: str, found: re.Match[str]) -> bool:
        key, start = found[1], found.start(1)
        if "%" in key:
            key = unquote(key)
        if self._is_sensitive(key):
            return True
        # `\ntoken=` in a representation: the n is no part of the key
        if text[start - 1 : start] != "\\":
            return False
        escape = _ESCAPE.match(key)
        return escape is not None and self._is_sensitive(key[escape.end() :])


def _assigned(text: str, name: re.Match[str]) -> Value | None:
    """Return the text that a name in source code is given: at once, or where there is nothing better."""
    at, sign = name.end(), name[0].rstrip()[-2:]
    if sign in ("==", "!=") and _TELLING.search(name[1]) is None:
        return None  # a parser's `token == "("`
    value = quoted_value(text, at)
    if value is not None and value.end == len(text) and sign[-1:] == ":":
        return None  # no key of a dict: the end of `prompt="Password: "`
    if value is not None or sign[-1:] != "=" or text[at : at + 1] in ("[", "{"):
        return value
    fallback = _FALLBACK.search(text, at, at + _FAR)
    if fallback is None or "attr(" in text[at : fallback.start()]:  # getattr(x, "token")
        return None
    return quoted_value(text, fallback.end())


def _usual(found: re.Match[str]) -> str:
    """Return the usual form of an unusual character; '' if it is invisible."""
    text = found[0]
    if text[-1] == "m" and len(text) > 1:  # a colour
        return ""
    character = text if len(text) == 1 else chr(int(text.lstrip("\\")[1:], 16))
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - _WIDTH)
    if len(text) == 1 or unicodedata.category(character) == "Cf":
        return ""
    return character if unicodedata.category(character)[0] in "LNM" else text
