"""The redactor, through which all exported data goes. It takes text or data, and does not know where they come from.

Clean texts are cached, so that a repeated value costs one look-up.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from typing import Any, Final

from slotel.config.names import REDACTED
from slotel.config.redaction.keys import MAX_KEY, is_no_secret, key_test, own_test
from slotel.config.redaction.values import PLACEHOLDERS, RedactionChoices
from slotel.runtime.logs import exact_text
from slotel.runtime.redaction import statements
from slotel.runtime.redaction.commands import redacted_arguments
from slotel.runtime.redaction.named import NAMED_VALUES, named_value
from slotel.runtime.redaction.readings import wide_encoding
from slotel.runtime.redaction.text import SHORTEST, TextRedactor, cores
from slotel.runtime.redaction.values import Values, is_card

MAX_DEPTH: Final = 64
MAX_NESTED: Final = 50_000
"""Limits of nested data: levels, and dicts and lists in all. Data beyond them is replaced as a whole, as is a cycle."""
_MAX_REMEMBERED: Final = 2_000
_MAX_LENGTH: Final = 300
"""Most characters of a cached text: with the number of texts about 0.5 MB in all."""
_MAX_STATEMENTS: Final = 1_000
_MAX_STATEMENT: Final = 2_000
_SMALLEST_CARD: Final = 10**12
_LARGEST_CARD: Final = 10**19
_MAX_REPORTED: Final = 100
_NAME: Final = re.compile(r"[\w.\[\]-]{1,64}")
_FLAG: Final = re.compile(r"(?:b?['\"])?-[-\w]+['\"]?")
"""A flag of a command line, or its `repr`, which is how sentry-sdk writes the items of a local variable."""
_ANY_KEY: Final = "key"
"""The tag under which values of unnamed keys are counted."""
_NEVER: Final = frozenset({bool, float, type(None)})
"""Types whose values cannot hold a secret."""
_CONTAINERS: Final = (Mapping, list, tuple, AbstractSet, deque, ValuesView)


class NestingBounds:
    """The rest of the bounds while nested data is redacted."""

    __slots__ = ("levels", "nested")

    def __init__(self) -> None:
        self.levels = MAX_DEPTH
        self.nested = MAX_NESTED

    def enter(self) -> bool:
        """Go one level down into a dict or list; return whether that is within the bounds."""
        self.nested -= 1
        if not self.levels or self.nested < 0:
            return False
        self.levels -= 1
        return True


class Redactor:
    """Redacts texts, attributes and nested data.

    Args:
        globs: keys whose values are redacted, in addition to those that always are.
        found: called with the key or the kind of each redacted value.
    """

    def __init__(
        self,
        globs: Sequence[str] = (),
        choices: RedactionChoices | None = None,
        found: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.choices = choices or RedactionChoices()
        self._found = found
        self._test = key_test(globs)
        self._is_own = own_test(globs)
        self._by_path = any(character in glob for glob in globs for character in ".*")
        self._known_key = functools.lru_cache(_MAX_REMEMBERED)(self._tests_key)
        self._kinds_of = functools.lru_cache(_MAX_REMEMBERED)(self._find_kinds)
        self._harmless: set[str] = set()
        """Keys that are clean as texts, not sensitive, and do not name the value of another key."""
        self._reported: set[str] = set()
        self.clean: set[str] = set()
        self.clean_source: set[str] = set()
        self._redact_text = TextRedactor(self.is_sensitive, cores(globs), Values(self.choices.values), found)
        self._known_statement = functools.lru_cache(_MAX_STATEMENTS)(self._redact_statement)
        self._cards = "card" in self.choices.values
        self._parameterise = self.choices.sql == "parameterise"

    def is_sensitive(self, key: str) -> bool:
        """Return whether the value of a key, or of a dotted path, is a secret."""
        return self._known_key(key) if len(key) <= _MAX_LENGTH else self._tests_key(key)

    def _tests_key(self, key: str) -> bool:
        usual = key.strip() if key.isascii() else _usual(key)
        return self._test(key) or (usual != key and self._test(usual))

    def text(self, text: str) -> str:
        """Return the text without its secrets; the same object if it has none."""
        if text.__class__ is not str:
            text = exact_text(text)
        if text in self.clean:
            return text
        redacted = self._redact_text(text) if len(text) >= SHORTEST else text
        if redacted == text and len(text) <= _MAX_LENGTH:
            _remember(self.clean, text)
        return redacted

    def source(self, line: str) -> str:
        """Return a line of source code without the secrets that are written into it."""
        if line in self.clean_source:
            return line
        redacted = self._redact_text.source(line) if len(line) >= SHORTEST else line
        if redacted == line and len(line) <= _MAX_LENGTH:
            _remember(self.clean_source, line)
        return redacted

    def attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return flat attributes without their secrets: the same object if they have none. Types are kept."""
        sensitive, queries = self._kinds_of(tuple(attributes))
        clean, changes = self.clean, None
        for key, value in attributes.items():
            kind = value.__class__
            if (kind is str and value in clean) or (kind is int and value < _SMALLEST_CARD):
                continue
            redacted = self.data(value)
            if redacted is not value and (redacted.__class__ is not kind or redacted != value):
                changes = changes or {}
                changes[key] = redacted
        for key in queries:
            query = attributes[key]
            redacted = self.statement(query, _system(attributes)) if query.__class__ is str else query
            if redacted != query:
                changes = changes or {}
                changes[key] = redacted
        return self._changed(attributes, changes or {}, sensitive) if changes or sensitive else attributes

    def data(self, data: Any, path: str = "", bounds: NestingBounds | None = None) -> Any:
        """Return nested data without its secrets.

        Args:
            path: the parent keys, joined by dots.
            bounds: what is left of the bounds; None at the top.
        """
        kind = data.__class__
        if kind is str:
            return data if data in self.clean else self.text(data)
        if kind is int:
            return self._number(data) if data >= _SMALLEST_CARD else data
        if kind in _NEVER:
            return data
        if kind is dict or kind is list or isinstance(data, _CONTAINERS):
            return self._nested(data, path, NestingBounds() if bounds is None else bounds)
        if isinstance(data, (bytes, bytearray, memoryview)):
            text, encoding = _decoded(bytes(data))
            redacted = self.text(text)
            return data if redacted == text else redacted.encode(encoding, "replace")
        return self.text(data) if isinstance(data, str) else data

    def hidden(self, key: str, value: Any, path: str = "") -> Any:
        """Return the replacement of a sensitive key's value: a sequence stays a sequence, a redacted value is kept.

        Args:
            path: the key with those above it; where the service itself named one of the two, numbers are hidden, too.
        """
        if self._may_stay(key, value, path):
            return value
        if isinstance(value, (list, tuple)):
            if all(self._may_stay(key, item, path) for item in value):
                return value
            self._report(key)
            return type(value)([REDACTED] * len(value)) if type(value) in (list, tuple) else [REDACTED]
        self._report(key)
        return REDACTED

    def _report(self, key: str) -> None:
        """Report a redacted key by its name, or without it if the name is long or there are too many names already."""
        reported = self._reported
        if key not in reported:
            if len(reported) >= _MAX_REPORTED or _NAME.fullmatch(key) is None or self.text(key) != key:
                key = _ANY_KEY
            else:
                reported.add(key)
        self._found(key)

    def _may_stay(self, key: str, value: Any, path: str) -> bool:
        if value is None or (value.__class__ is str and value in PLACEHOLDERS):
            return True
        return is_no_secret(key, value) and not self._is_own(key) and not (path and self._is_own(path))

    # -- attributes ------------------------------------------------------------------------------------------

    def _find_kinds(self, keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return which of the keys are sensitive, and which hold statements."""
        sensitive = tuple(key for key in keys if self.is_sensitive(key) or self.text(key) != key)
        return sensitive, tuple(key for key in keys if key in statements.KEYS)

    def _changed(
        self, attributes: dict[str, Any], changes: dict[str, Any], sensitive: tuple[str, ...]
    ) -> dict[str, Any]:
        changed = {**attributes, **changes}
        for key in sensitive:
            if self.is_sensitive(key):
                changed[key] = self.hidden(key, attributes[key])
            name = self.text(key)
            if name != key:
                changed[name] = changed.pop(key)
        return changed

    def statement(self, statement: str, system: str = "") -> str:
        """Return a database statement without credentials, and without literals if the service chose so.

        Args:
            system: `db.system.name` of OpenTelemetry's conventions.
        """
        is_short = len(statement) <= _MAX_STATEMENT
        return (self._known_statement if is_short else self._redact_statement)(statement, system)

    def _redact_statement(self, statement: str, system: str) -> str:
        statement = statements.without_credentials(statement, system)
        if self._parameterise:
            statement = statements.parameterised(statement, system)
        return self.text(statement)

    # -- data ------------------------------------------------------------------------------------------------

    def _nested(self, data: Any, path: str, bounds: NestingBounds) -> Any:
        if not bounds.enter():
            return REDACTED
        redacted: Any
        if data.__class__ is dict:
            redacted = None if self._by_path else self._known(data)
            if redacted is None:
                redacted = self._mapping(data, path, bounds)
            bounds.levels += 1
            return redacted
        is_mapping = isinstance(data, Mapping)
        redacted = self._mapping(data, path, bounds) if is_mapping else self._items(data, path, bounds)
        bounds.levels += 1
        return tuple(redacted) if isinstance(data, tuple) else redacted

    def _known(self, data: dict[Any, Any]) -> dict[Any, Any] | None:
        """Return a copy of a dict that has nothing but texts that were seen before, below harmless keys; else None."""
        copy = data.copy()  # the app may go on with its own
        try:
            is_known = self._harmless.issuperset(copy) and self.clean.issuperset(copy.values())
        except Exception:  # noqa: BLE001 what has no hash: another dict, a list; or the app's own code
            return None
        return copy if is_known else None

    def _mapping(self, data: Mapping[Any, Any], path: str, bounds: NestingBounds) -> dict[Any, Any]:
        """Redact each item; most have a key that is known to be harmless, and a plain value that was seen before."""
        clean, harmless, by_path = self.clean, self._harmless, self._by_path
        redacted: dict[Any, Any] = {}
        is_named = False
        for key, value in data.items():
            if key.__class__ is str and key in harmless:
                below = path if not by_path else f"{path}.{key}" if path else key
                if not by_path or not self.is_sensitive(below):
                    kind = value.__class__
                    if (kind is str and value in clean) or kind in _NEVER:
                        redacted[key] = value
                    elif kind is dict:
                        redacted[key] = self._nested(value, below, bounds)
                    else:
                        redacted[key] = self.data(value, below, bounds)
                    continue
            name = self._name(key)
            redacted[name] = self._item(key, value, path, bounds)
            if key in NAMED_VALUES:
                is_named = True
            elif name is key and key in clean and not self.is_sensitive(key):
                _remember(harmless, key)
        named = named_value(data, self.is_sensitive) if is_named else None
        if named is not None:
            redacted[named] = self.hidden(named, data[named], path)
        return redacted

    def _name(self, key: Any) -> Any:
        return self.text(key) if key.__class__ is str else key

    def _item(self, key: Any, value: Any, path: str, bounds: NestingBounds) -> Any:
        if not isinstance(key, str):
            if not isinstance(key, (bytes, bytearray)):
                return self.data(value, path, bounds)
            key = _decoded(bytes(key))[0]
        if self._by_path:
            path = f"{path}.{key}" if path else key
        if self.is_sensitive(key) or (self._by_path and self.is_sensitive(path)):
            return self.hidden(key, value, path)
        return self.data(value, path, bounds)

    def _items(self, items: Sequence[Any], path: str, bounds: NestingBounds) -> list[Any]:
        if not isinstance(items, (list, tuple)):
            items = list(items)
        fields = None if items.__class__ is list else getattr(items, "_fields", None)
        if fields.__class__ is tuple and len(fields) == len(items):  # a named tuple
            return [self._item(key, value, path, bounds) for key, value in zip(fields, items, strict=True)]
        if len(items) == 2 and isinstance(items[0], (str, bytes)):  # noqa: PLR2004 a pair, as headers are given
            return [self.data(items[0]), self._item(items[0], items[1], path, bounds)]
        if items and items[0].__class__ is str:
            items = redacted_arguments(items, self._found)
        redacted: list[Any] = []
        is_argument = False
        for item in items:
            if is_argument:
                redacted.append(self.hidden("argument", item))
            elif item.__class__ is dict:  # as in the answers of databases: one after the other
                redacted.append(self._nested(item, path, bounds))
            else:
                redacted.append(self.data(item, path, bounds))
            # `--token x` of a command line, as two items
            is_argument = (
                item.__class__ is str and "-" in item[:3] and _FLAG.fullmatch(item) is not None
            ) and self.is_sensitive(item)
        return redacted

    def _number(self, number: int) -> Any:
        if self._cards and number < _LARGEST_CARD and is_card(str(number)):
            self._found("card")
            return REDACTED
        return number


def _decoded(data: bytes) -> tuple[str, str]:
    """Return bytes as text with the encoding: UTF-8, UTF-16 or UTF-32 if they are valid, else Latin-1."""
    encoding = wide_encoding(data) or "utf-8"
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def _system(attributes: Mapping[str, Any]) -> str:
    found = attributes.get("db.system.name") or attributes.get("db.system")
    return found if found.__class__ is str else ""


def _usual(key: str) -> str:
    """Return a key without invisible characters, and with those of another width or composition as the usual ones."""
    seen = "".join(character for character in key[-MAX_KEY:] if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", seen).strip()


def _remember(clean: set[str], text: str) -> None:
    if len(clean) >= _MAX_REMEMBERED:
        clean.clear()
    clean.add(text)
