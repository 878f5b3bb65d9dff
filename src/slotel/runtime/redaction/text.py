"""Redacts secrets within one text: in URLs, in pairs of key and value in any notation, and values by their shape.

It does not know where the text comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, unquote

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.config.redaction.keys import CORES
from slotel.config.redaction.values import PLACEHOLDERS
from slotel.runtime.redaction import columns, commands, named, statements
from slotel.runtime.redaction.notation import (
    FLAG,
    KEY,
    PAIR,
    PART,
    SENTENCE,
    Value,
    is_hidden,
    quoted_value,
    value_in_sentence,
    value_of,
    value_of_flag,
    value_of_part,
)
from slotel.runtime.redaction.readings import is_plain, plain, without_packed
from slotel.runtime.redaction.values import Values

SHORTEST: Final = 5
"""Least characters of a text with a key, a separator and a value."""
MAX_DECODED: Final = 4
"""Levels of percent-encoding that are decoded: a URL in a URL in a URL."""
_READ_AGAIN: Final = 2
"""Most times that a reading is read again, beside one for each level: HTML in HTML, escapes in escapes."""
_LEAST_WORK: Final = 4_000
_MOST_WORK: Final = 32
"""Characters that are looked at for a text, and for each character of it, until nothing more in it is decoded. Each
reading of a part has parts of its own: without a bound a crafted text takes hundreds of times as long as another."""

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
    r"(?:^|(?<=['\"]))(?!(?:mailto|sips?|xmpp|acct|im|pres|tel|urn|git|from|to|reply-to|cc|bcc|by|user|author|owner|sender|contact|e?mail):)"
    r"[^\s:/@'\"]{0,128}:([^\s/'\"@]{1,128})(?=@[\w.\[\]-]{1,128}(?::\d{1,5})?(?:\\{0,64}['\"]|$))",
    re.IGNORECASE,
)
"""The address of a URL alone, as `urlsplit` takes it apart: `user:password@host`."""
_ADDRESS: Final = lazy_pattern(
    r"(?<![^\s,;=(<\[{|'\"])(?!(?:https?|npm|jsr|pkg|image|file|link|workspace|patch|mailto|sips?):)"
    r"[^\s:/@'\"<>=(,;]{0,64}:([^\s/'\"@<>]{1,128})(?=@(?:[\w.-]{1,128}|\[[\da-fA-F:.]{2,45}\])(:\d{1,5}(?!\w)|[/(])?)",
    re.IGNORECASE,
)
"""The same within a text: a port or a path follows, or what may be a password has a digit."""
_MAIL: Final = frozenset({
    "xmpp", "acct", "im", "pres", "tel", "urn", "git", "from", "to", "cc", "bcc", "by", "author", "email", "mail",
    "contact", "sender", "owner", "reply-to",
})  # fmt: skip
"""The text before an address of mail."""
_NO_SCHEME: Final = lazy_pattern(
    r"(?:(?<![:\w/\\.])//|(?<=[a-z]:)/|(?<=\\\\))[^\s:/@'\"<>\\]{0,128}:([^\s/'\"<>@\\]{1,128})(?=@[\w.\[])"
)
"""A user of a URL without a scheme, with one slash, of a share of Windows."""
_ORACLE: Final = lazy_pattern(r"\bthin:\w{1,64}/([^\s/@]{1,128})(?=@)")
_USERINFO: Final = lazy_pattern(r":[^\s/'\"<>@:]{0,128}@")
"""Without one there is none of the three."""
_RANDOM: Final = lazy_pattern(r"(?=\D{0,64}\d)(?=[^A-Za-z]{0,64}[A-Za-z]).{8,}")
_ESCAPE: Final = lazy_pattern(r"u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrtabfv0]")
_ESCAPES: Final = {
    "\\r\\n": "\u2028\r\n", "\\n": "\u2028\n", "\\t": "\u2028\t", "\\x00": "\u2028\x0b", "\\u0000": "\u2028\x0c",
    "\x00": "\u2028\x1c",
}  # fmt: skip
"""Ends of lines, tabs and NUL as a `repr` or JSON writes them, and what they are while the text is looked at: what
stands behind one begins as it does on a line of its own."""
_OF_SQL: Final = (
    "alues", "ALUES", "elect", "ELECT", "here", "HERE", "ike", "IKE", "IN", "in (", "etween", "ETWEEN", "DISTINCT",
    "[parameters: ", "Duplicate entry ", "SET ", "set ",
)  # fmt: skip
_NOTATIONS: Final = (
    (("alue", "input"), named.NAMED, named.value_of_name),
    (("alue", "input"), named.LOCATION, named.value_of_name),
    (("alue", "input"), named.LINES, named.value_of_name),
    (("",), PAIR, value_of),
    (("ame=", "AME=", "ame*="), PART, value_of_part),
    ((" '", ' "', " \\"), SENTENCE, value_in_sentence),
    (("-",), FLAG, value_of_flag),
    (named.OF_DIRECTIVES, named.DIRECTIVE, value_of_flag),
    (("login",), named.NETRC, value_of_flag),
    (("<", "&lt;"), named.ELEMENT, named.value_of_element),
    (("<",), named.NAMED_ELEMENT, named.value_of_element),
    (("<",), named.ELEMENT_NAMED, named.value_of_element),
    (("<",), named.CELL, named.value_of_element),
)
"""Texts, one of which is wherever a pattern matches; the pattern of a name; what finds the value of that name."""
_SIGNS: Final = (
    "=", ":", " -", "<", "'", '"', "BY ", "machine", "&lt;", "\u2028", "$$", "->", "\u2192", "\u21d2", "AUTH",
    *named.OF_DIRECTIVES, "requirepass", "masterauth",
)  # fmt: skip
_SECOND: Final = frozenset(
    {"key", "keys", "id", "code", "codes", "number", "phrase", "link", "word", "data", "string"}
)
_FIRST: Final = lazy_pattern(r"[A-Za-z]{2,20}\Z")
"""Words that are sensitive behind another one, and that one."""
_OF_WORDS: Final = {"\n": "n", "\t": "t"}
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
"""The text before a default value of a name: `token = get() or "x"`."""


def cores(globs: Iterable[str]) -> tuple[str, ...] | None:
    """Return lower-case texts such that every sensitive key contains one of them; None if any key may be sensitive."""
    own = []
    for glob in globs:
        longest = max(re.split(r"[*_.\-\s]+", glob.lower()), key=len)
        if not longest:
            return None
        own.append(longest)
    return (*CORES, *own)


class _Work:
    """How many characters may still be looked at for a text: see `_MOST_WORK`."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


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
        return self._read(text, MAX_DECODED, _Work(_LEAST_WORK + _MOST_WORK * len(text)))

    def _read(self, text: str, depth: int, work: _Work) -> str:
        """Redact a text and its readings.

        Args:
            depth: levels of percent-encoding, and of what is packed, that are decoded.
            work: what may still be done for the whole text.
        """
        if work.left <= 0:
            return text
        if is_plain(text):
            return self._redact(text, depth, work)
        redacted = self._shown(text, depth, work)
        read = redacted
        for _ in range(depth + _READ_AGAIN):
            before, read = read, plain(read)
            if read == before:
                break
            again = self._shown(read, depth, work)
            if again != read:
                redacted = read = again
        return redacted

    def _shown(self, text: str, depth: int, work: _Work) -> str:
        """Redact a text, with its escapes as what they stand for."""
        if ("\\" not in text and "\x00" not in text) or "\u2028" in text:
            return self._redact(text, depth, work)
        shown = text
        for escape, character in _ESCAPES.items():
            shown = shown.replace(escape, character)
        redacted = self._redact(shown, depth, work)
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

    def _redact(self, text: str, depth: int, work: _Work) -> str:
        work.left -= len(text)
        if "@" in text and "://" in text:
            text = self._users(text)
        if "@" in text and _USERINFO.search(text) is not None:
            text = _NETLOC.sub(self._password, text)
            text = _NO_SCHEME.sub(self._password, text)
            text = _ADDRESS.sub(self._address, text)
        if "@" in text and "thin:" in text:
            text = _ORACLE.sub(self._password, text)
        if depth and "%" in text:
            text = _ENCODED.sub(lambda run: self._encoded(run[0], depth - 1, work), text)
        if _has_sign(text) and self._names_a_key(text):
            text = self._pairs(text)
        text = self._values(commands.redacted(text, self._found), self._found)
        return without_packed(text, lambda inner: self._read(inner, depth - 1, work)) if depth else text

    def _pairs(self, text: str) -> str:
        """Redact the values of sensitive names, in each notation that the text may have."""
        if any(word in text for word in _OF_SQL):
            text = columns.redacted(text, self._is_sensitive, self._found)
        for hints, pattern, value_of_key in _NOTATIONS:
            for hint in hints:
                if hint in text:
                    text = self._replaced(text, pattern, value_of_key)
                    break
        if "..." in text:
            text = named.CUT.sub(self._password, text)
        if "<" in text:
            text = named.without_values_of_tags(text, self._is_sensitive, self._found)
        return statements.without_credentials_in(text)

    def _names_a_key(self, text: str) -> bool:
        if self._any_key:
            return True
        low = text.lower()
        if "\u2028" in low:  # the escape of a tab, or the begin of a word behind a backslash
            low = low.replace("\u2028\t", "t").replace("\u2028\n", "n")
        if "%" in low:
            low = f"{low} {unquote(low)}"
        if "identified by" in low:
            return True
        for core in self._cores:  # a generator would take twice as long
            if core in low:
                return True
        return not low.isascii() and any(core in low for core in self._other_cores)

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

    def _address(self, address: re.Match[str]) -> str:
        is_one = address[2] is not None or (
            _RANDOM.fullmatch(address[1]) is not None and address[0].partition(":")[0].lower() not in _MAIL
        )
        return self._password(address) if is_one else address[0]

    def _encoded(self, run: str, depth: int, work: _Work) -> str:
        """Redact what a percent-encoded part of a URL holds: another URL, or pairs."""
        if "%" not in run:
            return run
        decoded = unquote(run)
        if decoded == run:
            return run
        redacted = self._read(decoded, depth, work)
        if redacted == decoded and "+" in decoded:  # a blank of a form
            decoded = decoded.replace("+", " ")
            redacted = self._read(decoded, depth, work)
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
        before = text[start - 1 : start]
        if (
            before in _OF_WORDS
            and text[start - 2 : start - 1] == "\u2028"
            and self._is_sensitive(_OF_WORDS[before] + key)
        ):
            return True  # of a path of Windows, `C:\token`
        if before and before in " +" and key.lower() in _SECOND:  # `API Key: x`, `?api+key=x`
            first = _FIRST.search(text, max(start - 21, 0), start - 1)
            if first is not None and self._is_sensitive(f"{first[0]}_{key}"):
                return True
        # `\ntoken=` in a representation: the n is no part of the key
        if before != "\\":
            return False
        escape = _ESCAPE.match(key)
        return escape is not None and self._is_sensitive(key[escape.end() :])


def _has_sign(text: str) -> bool:
    """Whether a text has what may stand between a name and its value."""
    for sign in _SIGNS:  # a generator would take twice as long
        if sign in text:
            return True
    return text.startswith("-")


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
