"""Finds a value whose name is next to it, `name='token', value='x'`, in data and in texts. Pure.

Headers, cookies, form fields, a container's environment variables, settings in XML and validation errors are written
so. Every pattern is bounded, so that the time is proportional to the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.runtime.redaction.notation import END, KEY, QUOTE, Value, hidden, quoted_value, unquoted_value

_NAMES: Final = ("name", "key", "Name", "Key", "header", "field", "path", "loc")
_VALUES: Final = ("value", "Value", "values", "Values", "input", "defaultValue")
"""`loc` and `input` are those of pydantic's validation errors, `path` that of a JSON Patch."""
NAMED_VALUES: Final = frozenset(_VALUES)
"""Keys of a value whose name is the value of another key in the same mapping."""

_BETWEEN: Final = r"(?:[^{}<>()\[\]\n]|\n(?!\s{0,40}-)){0,200}?"
"""Other keys of the same mapping; not the next item of a YAML list."""
NAMED: Final = lazy_pattern(
    rf"(?<!{KEY})(?i:name|key|header|field)(?:{QUOTE})?\s{{0,4}}[=:]\s{{0,4}}b?(?:{QUOTE})?({KEY}+)(?:{QUOTE})?"
    rf"(?=[\s,;]){_BETWEEN}[\s,;\"'](?i:value|values|defaultValue)({QUOTE})?\s{{0,4}}([=:])\s{{0,4}}"
)
"""A name up to its value, in JSON, a `repr`, YAML, or attributes of XML or HTML."""
LOCATION: Final = lazy_pattern(
    rf"{QUOTE}loc{QUOTE}\s{{0,4}}:\s{{0,4}}[\[(][^\[\](){{}}]{{0,200}}?{QUOTE}({KEY}+){QUOTE}(?:,\s{{0,4}}\d{{1,9}})?,?[\])]"
    rf"{_BETWEEN}{QUOTE}input({QUOTE})\s{{0,4}}(:)\s{{0,4}}"
)
"""A validation error of pydantic as data: `'loc': ('body', 'password'), …, 'input': `."""
LINES: Final = lazy_pattern(rf"(?:^|\n)({KEY}+){END}[^\n]{{0,500}}?[\[,]()\s?input_value(=)")
"""A validation error of pydantic as text: the field, below it the message with the input value."""
ELEMENT: Final = lazy_pattern(
    r"(?:<|&lt;)(?:[\w.-]{1,64}:)?([\w.-]+)(?:\s[^<>]{0,300}?)?(?:>|&gt;)\s{0,8}(?:<!\[CDATA\[)?(?=[^\s])"
)
"""An element of XML, with a prefix, attributes or CDATA; also within HTML."""
NAMED_ELEMENT: Final = lazy_pattern(
    r"<(?i:name|key)>\s{0,8}([\w.-]+)\s{0,8}</(?i:name|key)>\s{0,8}(?:<[\w.-]{1,64}>\s{0,8}){1,2}(?=[^\s<])"
)
"""A name and its value in two elements of XML."""
ELEMENT_NAMED: Final = lazy_pattern(
    rf"<(?!input|meta|button)[\w.:-]{{1,64}}\s(?:[^<>]{{0,200}}?\s)?(?i:name|key)={QUOTE}([\w.-]+){QUOTE}[^<>]{{0,200}}(?<!/)>"
    r"\s{0,8}(?:<value>\s{0,8})?(?=[^\s<])"
)
"""An element of XML that an attribute names: `<property name="password">x</property>`."""
CELL: Final = lazy_pattern(
    rf">\s{{0,8}}({KEY}+)\s{{0,4}}(?:</(?:td|th|dt|key)>\s{{0,8}}:?\s{{0,8}}(?:<\w[^<>]{{0,200}}>\s{{0,8}}){{1,2}}"
    r"|(?::\s{0,4}</\w{1,8}>|</\w{1,8}>\s{0,4}:)\s{0,8}(?:<\w[^<>]{0,200}>\s{0,8}){0,2})(?=[^\s<])",
    re.IGNORECASE,
)
"""A name in one cell of a table of HTML, in an item of a list or in bold, and its value in the next."""
_TAG: Final = lazy_pattern(r"<[A-Za-z][\w:.-]{0,64}\s[^<>]{1,2000}>?")
_ATTRIBUTE: Final = lazy_pattern(
    r"""(?<![\w:.-])([A-Za-z][\w:.-]{0,64})\s{0,4}=\s{0,4}(?:\\{0,8}"([^"\\]*)\\{0,8}"|\\{0,8}'([^'\\]*)\\{0,8}'|([^\s"'<>\\]+))"""
)
_NAMING: Final = frozenset(
    {"name", "id", "key", "property", "itemprop", "autocomplete", "formcontrolname", "type"}
)
_VALUED: Final = frozenset({"value", "content", "defaultvalue"})
OF_DIRECTIVES: Final = ("ENV ", "etenv ", "etEnv ", "set -", "_header ", "RequestHeader ", "config ")
"""Texts, one of which is in each of these."""
DIRECTIVE: Final = lazy_pattern(
    r"(?<![\w-])(?:setenv|SetEnv|ENV|set -[a-zA-Z]{1,4}|proxy_set_header|add_header|RequestHeader set"
    rf"|config(?: --[a-z]{{1,16}})?)[ \t]{{1,8}}({KEY}+)[ \t]{{1,8}}(?![-=\s])"
)
"""A line of a shell, of Docker, nginx or Apache that gives a name a value without a sign between them."""
CUT: Final = lazy_pattern(r"input_value=[{\[][^\n]{0,60}?\.\.\.([^\n,}\[\]]{1,60})(?=[,}\]])")
"""The end of an input of which pydantic has cut the middle out, and with it a key."""
NETRC: Final = lazy_pattern(
    r"(?:\bmachine\s{1,8}\S{1,256}|\bdefault)\s{1,8}login\s{1,8}\S{1,128}\s{1,8}(password)\s{1,8}"
)
"""An entry of a `.netrc`. Source: GNU inetutils, The .netrc file."""
_OPENED: Final = lazy_pattern(r"<([\w:.-]+)")
_MAX_ELEMENT: Final = 2_000
"""Characters of an element in which others stand."""
_TO_TAG: Final = lazy_pattern(r"(?:[^<&\]]|\](?!\]>)|&(?!lt;))*")
_NUMBER: Final = lazy_pattern(r"[-+.\deE]*(?![\w.])|(?:true|false|null|None|True|False)\b")


def value_of_name(text: str, name: re.Match[str]) -> Value | None:
    """Return the value of a sensitive name that NAMED, LOCATION or LINES found; None for a number."""
    at, mark = name.end(), name[2] or ""
    if (quoted := quoted_value(text, at)) is not None:
        return quoted
    if _NUMBER.match(text, at) is not None:
        return None
    return unquoted_value(text, at, mark)


def value_of_element(text: str, element: re.Match[str]) -> Value | None:
    """Return the value of a sensitive element that one of the patterns of elements found: with the elements in it."""
    if text[element.end()] == "<":
        name = _OPENED.search(text, element.start(), element.end())
        closing = (
            -1 if name is None else text.find(f"</{name[1]}", element.end(), element.end() + _MAX_ELEMENT)
        )
        return None if closing < 0 else hidden(text, element.end(), closing)
    end = _TO_TAG.match(text, element.end()).end()  # type: ignore[union-attr]  # it matches anything
    return hidden(text, element.end(), end)


def without_values_of_tags(
    text: str, is_sensitive: Callable[[str], bool], found: Callable[[str], None]
) -> str:
    """Return a text without the values of tags whose name, id or type is sensitive; `found` is called for each.

    >>> without_values_of_tags('<input value="x1" id="password">', "password".__eq__, print)
    pair
    '<input value="[Filtered]" id="password">'
    """

    def one(tag: re.Match[str]) -> str:
        attributes = list(_ATTRIBUTE.finditer(tag[0]))
        if not any(
            each[1].lower() in _NAMING and is_sensitive(each[each.lastindex or 1]) for each in attributes
        ):
            return tag[0]
        shown = tag[0]
        for each in reversed(attributes):
            if each[1].lower() in _VALUED:
                start, end = each.span(each.lastindex or 1)
                if hidden(shown, start, end) is not None:
                    found("pair")
                    shown = f"{shown[:start]}{REDACTED}{shown[end:]}"
        return shown

    return _TAG.sub(one, text) if "=" in text else text


def named_value(data: Mapping[Any, Any], is_sensitive: Callable[[str], bool]) -> str | None:
    """Return the key of the value that another key of the mapping names, if that name is sensitive.

    >>> named_value({"name": "X-Api-Key", "value": "x"}, lambda name: "Key" in name)
    'value'
    """
    if data.__class__ is dict and NAMED_VALUES.isdisjoint(data):
        return None  # as most: no look at each
    for value_key in _VALUES:
        if isinstance(data.get(value_key), (str, bytes, Mapping, list, tuple)):
            break
    else:
        return None
    for name_key in _NAMES:
        name = data.get(name_key)
        if name_key == "loc" and isinstance(name, Sequence) and name:
            name = next((part for part in reversed(name) if isinstance(part, str)), None)
        if isinstance(name, bytes):
            name = name.decode("latin-1")
        if isinstance(name, str) and is_sensitive(name):
            return value_key
    return None
