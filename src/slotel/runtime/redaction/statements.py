"""Redacts database statements: always their credentials, and their literals if `redaction` asks for it. Pure."""

from __future__ import annotations

import re
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.runtime.redaction.notation import is_hidden

KEYS: Final = frozenset({"db.statement", "db.query.text"})
"""Attributes that hold a statement. Source: OpenTelemetry's semantic conventions for databases, old and stable."""
_REDIS: Final = frozenset({"redis", "valkey", "keydb"})
_NOT_SQL: Final = frozenset(
    {"mongodb", "elasticsearch", "opensearch", "memcached", "couchdb", "dynamodb", "aws.dynamodb"}
)

_CREDENTIAL: Final = lazy_pattern(
    r"(\b(?:PASSWORD(?:\s{1,8}FOR\s{1,8}[^\s=]{1,256})?(?:\s{0,8}=\s{0,8}|\s{1,8})(?:PASSWORD\s{0,8})?\(?"
    r"|IDENTIFIED\s{1,8}(?:WITH\s{1,8}['\"]?\w{1,64}['\"]?\s{1,8})?(?:BY|AS)\s{1,8}(?:PASSWORD\s{1,8})?)[EeNn]?)"
    r"(?:\\{1,16}['\"]([^'\"\\]*)|'((?:[^'\\]|''|\\.)*)'?|\"([^\"]*)\"?"
    r"|(?-i:(?<=BY ))(?!PASSWORD\b|RANDOM\b|VALUES\b)([\w#$@!%^*.-]{1,256}))",
    re.IGNORECASE | re.DOTALL,
)
"""`CREATE USER x PASSWORD 'y'`, `SET PASSWORD FOR x = 'y'`, `IDENTIFIED BY 'y'` , `BY y`."""
_SETS: Final = lazy_pattern(r"password|identified", re.IGNORECASE)
_REDIS_CREDENTIAL: Final = lazy_pattern(
    r"(\s*(?:AUTH|HELLO\s+\S+\s+AUTH|CONFIG\s+SET\s+(?:requirepass|masterauth)|ACL\s+SETUSER\s+\S+|MIGRATE\b.*?\sAUTH2?)\s)"
    r"\s*[^?\s].*",
    re.IGNORECASE | re.DOTALL,
)
"""Commands whose arguments are passwords. Source: Redis, command reference."""
_REDIS_IN: Final = lazy_pattern(
    r"((?:\A|(?<=[\n>:\"'\u2028 ]))AUTH[ \t]{1,4}(?:[\w-]{1,64}[ \t]{1,4})?"
    r"|\b(?:requirepass|masterauth)[ \t]{1,8}['\"]?"
    r"|\$4(?:\u2028?\r\n)AUTH(?:\u2028?\r\n)(?:\$\d{1,9}(?:\u2028?\r\n)[\w-]{1,64}(?:\u2028?\r\n)){0,1}"
    r"\$\d{1,9}(?:\u2028?\r\n))"
    r"(?!\$)((?=[^\s'\"]{6})[^\s\d'\"]{0,128}\d[^\s'\"]*|(?<=\n)[^\s'\"]+|(?<=s )[^\s'\"]+|(?<=h )[^\s'\"]+)"
)
"""A command of Redis in a text, a line of its configuration, and what a client writes to its socket."""
_LITERAL: Final = lazy_pattern(
    r"\b[EeNnXxBb]?'(?:[^'\\]|''|\\.)*'?"  # 'it''s', E'\n', X'00'
    r"|'(?:[^'\\]|''|\\.)*'?"
    r"|\$(\w{0,32})\$.*?(?:\$\1\$|\Z)"  # $tag$text$tag$
    r"|(?<![\w$@:.\"`\]])[-+]?(?:0[xX][0-9A-Fa-f]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\"`])",
    re.DOTALL,
)
_DOUBLE_QUOTED: Final = lazy_pattern(r'"(?:[^"\\]|""|\\.)*"?', re.DOTALL)
_DOUBLE_QUOTES_ARE_TEXT: Final = frozenset({"mysql", "mariadb"})
_WORD: Final = lazy_pattern(r"\S+")


def without_credentials(statement: str, system: str) -> str:
    """Return the statement without the passwords that its commands set or send.

    >>> without_credentials("AUTH default hunter2", "redis")
    'AUTH [Filtered]'
    """
    if system in _REDIS or statement[:5].upper() in ("AUTH ", "HELLO"):
        found = _REDIS_CREDENTIAL.fullmatch(statement)
        return statement if found is None else f"{found[1]}{REDACTED}"
    return without_credentials_in(statement)


def without_credentials_in(text: str) -> str:
    """Return a text without the passwords that statements of SQL in it set.

    >>> without_credentials_in("failed: ALTER ROLE bob PASSWORD 'hunter2'")
    "failed: ALTER ROLE bob PASSWORD '[Filtered]'"
    """
    if "AUTH" in text or "requirepass" in text or "masterauth" in text:
        text = _REDIS_IN.sub(_hidden, text)
    return _CREDENTIAL.sub(_hidden, text) if _SETS.search(text) is not None else text


def _hidden(found: re.Match[str]) -> str:
    value = next((group for group in found.groups()[1:] if group is not None), "")
    if is_hidden(value):
        return found[0]
    start = found.start(found.lastindex or 1) - found.start()
    return f"{found[0][:start]}{REDACTED}{found[0][start + len(value) :]}"


def parameterised(statement: str, system: str) -> str:
    """Return the statement with `?` for each literal; of a redis command its name and `?` for each argument.

    >>> parameterised("SELECT a1 FROM t WHERE x = 'it''s' AND y IN (1, -2.5)", "postgresql")
    'SELECT a1 FROM t WHERE x = ? AND y IN (?, ?)'
    >>> parameterised("SET cart:7 x", "redis")
    'SET ? ?'
    """
    if system in _REDIS:
        name, _, rest = statement.strip().partition(" ")
        return f"{name} {_WORD.sub('?', rest)}".rstrip()
    if system in _NOT_SQL:
        return statement
    if system in _DOUBLE_QUOTES_ARE_TEXT:
        statement = _DOUBLE_QUOTED.sub("?", statement)
    return _LITERAL.sub("?", statement)
