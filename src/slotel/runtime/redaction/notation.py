"""Finds the value of a key in a text: in a URL, a form, JSON, a `repr`, a command line, XML, a header. Pure.

Every pattern begins at a word boundary, so that the time is proportional to the length of the text.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.config.redaction.values import PLACEHOLDERS

_PRINTED: Final = {
    "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u2018": "\u2019", "\u201a": "\u2018\u2019", "\u00ab": "\u00bb",
    "\u00bb": "\u00ab", "\u2039": "\u203a", "\u300c": "\u300d", "\u300e": "\u300f",
    "\u201d": "\u201d", "\u2019": "\u2019",
}  # fmt: skip
"""Typographic quotes, and what closes them."""
QUOTE: Final = (
    r"(?:\\{0,64}[\"']|&quot;|&#(?:34|39|x27);|\\{1,64}u002[27]|\\{1,64}u(?:201[89a-fA-F]|00[aAbB][bB]|2039|203[aA]|300[c-fC-F])"
    rf"|[{''.join(_PRINTED)}\u203a\u300d\u300f])"
)
"""A quote, also escaped, as an entity of HTML, or of typography."""
END: Final = r"(?:(?:\\{1,64}r)?\\{0,64}\u2028?\r?\n)"
"""An end of a line; after U+2028 one that the text has as an escape, after backslashes twice (`TextRedactor`)."""
KEY: Final = r"[\w.%$\[\]\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e-]"
"""A character of a key; also an accent that stands alone, as file systems and some keyboards write it, and the vowels
of Devanagari and Thai."""
PAIR: Final = lazy_pattern(
    rf"(?<!{KEY})({KEY}+)({QUOTE})?[\])}}`]?\s{{0,40}}(=>|->|\u2192|\u21d2|:=|={{1,3}}|!={{1,2}}|::(?=\s)|:(?!//)|,)\s{{0,40}}"
)
"""A key with its closing quote, and the separator before its value."""
PART: Final = lazy_pattern(
    rf"(?<![\w-])(?i:name)\*?=(?:[\w-]{{1,20}}'[\w-]{{0,10}}')?(?:{QUOTE})?({KEY}+)(?:{QUOTE})?"
    r"(?:;[ \t]?filename[^\r\n\u2028]{0,256})?"
    rf"(?:{END}Content-[A-Za-z-]{{1,32}}:[^\r\n\u2028]{{0,128}}){{0,3}}{END}{{2}}"
)
"""The name of a part of a multipart form, up to the empty line before its value."""
_MAX_PART: Final = 10_000
"""Characters of a part in which its end is looked for."""
SENTENCE: Final = lazy_pattern(rf"(?<!{KEY})({KEY}+) (?:is |was )?(?=\\{{0,8}}[\"'`])")
"""A name in a sentence, before a text in quotes."""
FLAG: Final = lazy_pattern(r"(?<![\w-])(-[-\w][\w-]+)(?:\u2028?[ \t\x0b\x0c\x1c]){1,8}(?![-\s])")
"""A flag of a command line, `--token` or `-Password`, with the blanks before its value."""

_TOKEN: Final = lazy_pattern(rf"\+{{0,4}}[bBrRuUfF]{{0,2}}({QUOTE})")
"""The quote that opens a value; a plus is a blank in a form."""
_BODY: Final = {mark: lazy_pattern(rf"[^{mark}\\]*(?:\\.[^{mark}\\]*)*", re.DOTALL) for mark in ('"', "'")}
_IN_A_URL: Final = lazy_pattern(r"[^&#\s'\"<>\\]*")
_BARE: Final = lazy_pattern(r"(?:[^\s'\"<>&;|]|['\"](?=[\w!@$%^*]))*")
"""A quote within a word belongs to the value: `password=it's`."""
_BLOCK: Final = lazy_pattern(rf"[|>][-+]?\d?[ \t]{{0,8}}{END}")
"""A block scalar of YAML: it ends at the first line that is not indented more than its key."""
_INDENT: Final = lazy_pattern(r"[ \t]*")
_SCHEME: Final = lazy_pattern(
    r"(?:bearer|basic|token|digest|negotiate|apikey|jwt|splunk|aws4-hmac-sha256)\s", re.IGNORECASE
)
_ANY_SCHEME: Final = lazy_pattern(r"[A-Za-z][\w-]{1,30}[ \t]{1,4}[^\s'\"<>&;,]{8,}")
_ARROWS: Final = ("->", "\u2192", "\u21d2")
_LINE: Final = lazy_pattern(r"(?:=\\{0,64}\"[^\"\r\n\u2028]{0,500}\"|[^\r\n\u2028'\"\\]|\\(?![nr]))*")
"""With the quoted parameters of a header: `Digest username="bob", response="x"`."""
_FORM_LINE: Final = lazy_pattern(r"[^\r\n\u2028]*")
_SCALAR: Final = lazy_pattern(r"[^\s,}\])'\"\\]*")
_OBJECT: Final = lazy_pattern(r"<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>?")
"""A `repr` in angle brackets, also with others within it: `<Jar <Cookie x>>`."""
_TRAILING: Final = "),.;]}\\"
_OPENING: Final = frozenset("{[(")
_TEMPLATE: Final = lazy_pattern(r"%(?:\(\w+\))?[sdrf]|\{[\w.]*(?:![rsa])?(?::[^{}]{0,20})?\}")
_VARIABLE: Final = lazy_pattern(r"\$\w{1,64}")
_TYPE: Final = lazy_pattern(r"\[{0,2}[A-Z]\w{0,64}!?[\]!]{0,4}(?=[\s,)=])")
"""In GraphQL: `password: $p` gives a variable, which is declared by `$p: String!`."""
_MARK: Final = lazy_pattern(r"(?:(?:[&!][\w!:/.-]{0,64}|\*\*)[ \t]{1,8}){1,2}(?=\S)")
"""An anchor or a tag of YAML before a value, the end of `**Password:**` in Markdown."""
_ANNOTATION: Final = lazy_pattern(r"[\w.]{1,64}(?:\[[\w.,| \[\]]{0,64}\])?(?: \| ?None)? ?= ?")
"""`password: str = "x"`: what follows a colon in Python."""
_CALL: Final = lazy_pattern(r"[A-Za-z_](?:[\w.]|<locals>){0,128}(?=\()")
"""The name of a call, or of a class in the `repr` of its object: `UUID('x')`, `test.<locals>.Cred(a='x')`."""
_LITERAL: Final = lazy_pattern(r"[\"'\d]")
_MEMBER: Final = lazy_pattern(r"(?:\[\w{0,32}\]|\.\w{1,64}(?:\(\))?){0,4}")
_OR: Final = lazy_pattern(r"\sor\s(?=[bBrRuUfF]{0,2}\\{0,64}[\"'])")
_MAX_CALL: Final = 400
"""Characters of a call that is looked at: of an object's `repr`, or of source code in a traceback,
`token = get("TOKEN", "x") or "y"`. One that goes on is cut off, or is an object: it goes to the end of its line."""
_BRACKETS: Final = lazy_pattern(r"[\[\](){}]|\\{0,64}[\"']")
_TELLING: Final = lazy_pattern(r"(?i:password|passwd|passphrase|secret)|[-_]|[a-z][A-Z]")
"""A key that no sentence has before a colon."""
_RANDOM: Final = lazy_pattern(r"[^\s\d]{0,64}\d\S*")
_ALONE: Final = lazy_pattern(r"[ \t]*(?:-[ \t]{1,4})?[\"']?")
_WORD: Final = lazy_pattern(r"[ \t]*(?:-[ \t]{1,4})?(?:[\w.-]{1,64}:[ \t]{1,8})?(\S{1,4096})[ \t]*")
_ITEM: Final = lazy_pattern(r"\u2028?\r?\n?[ \t]*-[ \t]{1,4}\S{1,4096}[ \t]*(?=\u2028?\r?\n|\Z|['\"])")
"""A key alone on its line of YAML, and what stands in the lines below it."""
_MAX_LIST: Final = 500
"""Most characters of a list that is the second item of a pair."""
_BEFORE: Final = 2_000
"""Characters before a variable that are searched for its declaration."""
_RANDOM_WORD: Final = lazy_pattern(r"(?=\D{0,200}\d)(?=[^A-Za-z]{0,200}[A-Za-z])[^\s<>(){}]{8,}")
_LONGEST_QUOTED: Final = 200
_BREAKS: Final = "\r\u2028\\"
_LONGEST_WORD: Final = 20
_SHORTEST_RANDOM: Final = 6
_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
"""Headers whose values contain blanks: the value reaches to the end of the line."""


class Value(NamedTuple):
    """A value's place in a text, and its replacement."""

    start: int
    end: int
    instead: str


def value_of(text: str, pair: re.Match[str]) -> Value | None:
    """Return the value of a sensitive key that PAIR found; None if it has none or is redacted already."""
    sign, at = pair[3], pair.end()
    before, after = text[pair.start(1) - 1 : pair.start(1)], text[pair.end(2 if pair[2] else 1)]
    quoted = quoted_value(text, at)
    if sign == ",":
        if quoted is None and (end := _end_of_data(text, at)) > at:
            quoted = hidden(text, at, end, pair[2] or "")
        return quoted if quoted is not None and pair[2] and _belong_together(text, pair, quoted) else None
    if (sign in _ARROWS and after in ")]") or (quoted is None and after == "}"):
        return None  # of a function, `check(token) -> bool`, or of a template, `/{token}: `
    if quoted is not None or sign[0] == "!":
        return quoted
    return _unquoted(text, pair, before)


def _unquoted(text: str, pair: re.Match[str], before: str) -> Value | None:
    sign, mark, at = pair[3], pair[2] or "", pair.end()
    if text[at : at + 1] in _OPENING:
        end = _closing(text, at)
        if text[at] == "{" and ";" in (before, text[end : end + 1]):  # of a connection string, no template
            return Value(at, end, REDACTED)
        return hidden(text, at, end, mark)
    if _TOKEN.match(text, at) is not None:
        return None  # between quotes, and hidden already
    if mark and sign in (":", "=>"):
        return unquoted_value(text, at, mark)
    if sign in (":", "::"):
        return _after_colon(text, pair)
    return _of_sentence(text, _bare(text, at)) if sign in _ARROWS else _after_equals(text, pair, before)


def _after_equals(text: str, pair: re.Match[str], before: str) -> Value | None:
    at = pair.end()
    if pair[1].lower() in _HEADERS and (scheme := _ANY_SCHEME.match(text, at)) is not None:
        return hidden(text, at, scheme.end())
    return _plain(text, at, _IN_A_URL) if before in ("?", "&", "#") else _bare(text, at)


def unquoted_value(text: str, at: int, mark: str) -> Value | None:
    """Return the unquoted value at an offset: a bracketed expression, a JSON scalar or a word.

    Args:
        mark: the quote around the key, which the replacement gets, too; '' if there is none.
    """
    if text[at : at + 1] in _OPENING:
        return hidden(text, at, _closing(text, at), mark)
    if mark:
        return hidden(text, at, _end_of_scalar(text, at), mark)
    return _bare(text, at)


def _end_of_scalar(text: str, at: int) -> int:
    """Return where a value without quotes ends that stands in JSON or in the `repr` of a mapping: a word, an object."""
    if text[at : at + 1] == "<":
        return _OBJECT.match(text, at).end()  # type: ignore[union-attr]  # it matches anything that begins so
    if (call := _CALL.match(text, at)) is not None:
        return _closing(text, call.end())
    return _SCALAR.match(text, at).end()  # type: ignore[union-attr]  # it matches anything


def _end_of_data(text: str, at: int) -> int:
    """Return where a list or an object ends that is the second of a pair, `('password', ['x'])`; else the place."""
    if text[at : at + 1] in _OPENING:
        return _closing(text, at, at + _MAX_LIST)
    if text[at : at + 1] == "<":
        return _OBJECT.match(text, at).end()  # type: ignore[union-attr]  # as above
    if (call := _CALL.match(text, at)) is None:
        return at
    end = _closing(text, call.end(), at + _MAX_LIST)
    return (
        end if _LITERAL.search(text, call.end(), end) is not None else at
    )  # `os.getenv("TOKEN", default())`


def value_of_part(text: str, part: re.Match[str]) -> Value | None:
    """Return the value of a sensitive part of a form that PART found: up to the boundary, else its first line."""
    end = text.find("\n--", part.end(), part.end() + _MAX_PART)
    if end < 0:
        return _plain(text, part.end(), _FORM_LINE)
    while end > part.end() and text[end - 1] in _BREAKS:
        end -= 1
    return hidden(text, part.end(), end)


def value_in_sentence(text: str, name: re.Match[str]) -> Value | None:
    """Return what stands in quotes behind a sensitive name, `invalid token 'x9…'`, if no word looks so."""
    value = quoted_value(text, name.end())
    if value is None or value.end - value.start > _LONGEST_QUOTED:
        return None
    return value if _RANDOM_WORD.fullmatch(text, value.start, value.end) is not None else None


def value_of_flag(text: str, flag: re.Match[str]) -> Value | None:
    """Return the value of a sensitive flag that FLAG found."""
    at = flag.end()
    return quoted_value(text, at) if _TOKEN.match(text, at) is not None else _bare(text, at)


def is_hidden(value: str) -> bool:
    """Return whether a value is empty, redacted already, or a placeholder of a template."""
    return value in PLACEHOLDERS or _TEMPLATE.fullmatch(value) is not None


def hidden(text: str, start: int, end: int, mark: str = "") -> Value | None:
    """Return the value between two offsets; None if it is empty or redacted already."""
    return None if is_hidden(text[start:end]) else Value(start, end, f"{mark}{REDACTED}{mark}")


def _plain(text: str, at: int, form: re.Pattern[str]) -> Value | None:
    found = form.match(text, at)
    return hidden(text, at, found.end()) if found is not None else None


def quoted_value(text: str, at: int) -> Value | None:
    """Return the value between quotes, escaped or not; without a closing quote it reaches to the end of the text."""
    opening = _TOKEN.match(text, at)
    if opening is None:
        return None
    mark, start = opening[1], opening.end()
    if text.startswith(mark + mark, start):  # TOML and Python: three quotes
        start += 2 * len(mark)
        end = text.find(mark * 3, start)
        return hidden(text, start, len(text) if end < 0 else end)
    return hidden(text, start, _end_of_quoted(text, start, mark))


def _end_of_printed(text: str, start: int, mark: str) -> int:
    """Return the offset of the typographic quote that closes a text, escaped or not."""
    opening = mark if len(mark) == 1 else chr(int(mark[-4:], 16))
    closing = _PRINTED.get(opening, opening)
    escape = mark[:-4]
    ends = [text.find(f"{escape}{ord(each):04x}" if escape else each, start) for each in closing]
    return min((end for end in ends if end >= 0), default=len(text))


def _end_of_quoted(text: str, start: int, mark: str) -> int:
    if mark in _PRINTED or (mark[0] == "\\" and mark[-4:-1] != "002" and mark[-1] not in "\"'"):
        return _end_of_printed(text, start, mark)
    if len(mark) == 1:
        return _BODY[mark].match(text, start).end()  # type: ignore[union-attr]  # it matches anything
    end = text.find(mark, start)
    while end > 0 and text[end - 1] == "\\":  # a quote of a deeper level
        end = text.find(mark, end + 1)
    return len(text) if end < 0 else end


def _closing(text: str, at: int, until: int | None = None) -> int:
    """Return where the bracket that opens at a place closes; the end of the text if it does not."""
    closed = _closed(text, at, until)
    return len(text) if closed is None else closed


def _closed(text: str, at: int, until: int | None) -> int | None:
    """Return where the bracket that opens at a place closes; None if it does not, before another place."""
    depth, place = 0, at
    while found := _BRACKETS.search(text, place, len(text) if until is None else until):
        place = found.end()
        sign = found[0]
        if sign[-1] in "\"'":
            place = min(_end_of_quoted(text, place, sign) + len(sign), len(text))
        elif sign in "[({":
            depth += 1
        else:
            depth -= 1
            if depth <= 0:
                return place
    return None


def _belong_together(text: str, pair: re.Match[str], value: Value) -> bool:
    """Whether a quoted key and a quoted value are two of a kind: `('password', 'x')`, or a flag and its argument."""
    if pair[1].startswith("-"):
        return True
    start = pair.start(1) - len(pair[2])
    opening = text[max(start - 4, 0) : start].rstrip("bBrRuUfF").rstrip()
    closing = text[value.end : value.end + 24].lstrip("\\\"' ").lstrip()
    return opening[-1:] in ("(", "[") and closing[:1] in ("", ")", "]")


def _after_colon(text: str, pair: re.Match[str]) -> Value | None:
    """Return what follows a colon in plain text: of a header the line, else a word if it is no word of a sentence."""
    key, at = pair[1], pair.end()
    if "\n" in text[pair.end(1) : at]:
        return _below(text, pair)
    return None if _is_graphql(text, pair) else _on_the_line(text, key, at)


def _on_the_line(text: str, key: str, at: int) -> Value | None:
    if key.lower() in _HEADERS:
        return _plain(text, at, _LINE)
    mark = _MARK.match(text, at)
    start, at = at, at if mark is None else mark.end()
    if (block := _BLOCK.match(text, at)) is not None:
        return hidden(text, block.end(), _end_of_block(text, at, block.end()))
    annotation = _ANNOTATION.match(text, at)
    if annotation is not None and _TOKEN.match(text, annotation.end()) is not None:
        return quoted_value(text, annotation.end())
    value = (quoted_value(text, at) if mark is not None else None) or _bare(text, at)
    if value is None or _TELLING.search(key) is not None:
        return value and value._replace(start=start)  # what looks like a mark may be a part of it
    return _of_sentence(text, value)


def _of_sentence(text: str, value: Value | None) -> Value | None:
    """Return a value if no word of a sentence looks so: it has digits, or is long."""
    if value is None:
        return None
    length = value.end - value.start
    is_random = length >= _SHORTEST_RANDOM and _RANDOM.match(text, value.start, value.end) is not None
    return value if is_random or length >= _LONGEST_WORD else None


def _below(text: str, pair: re.Match[str]) -> Value | None:
    """Return what stands below a key that has a line of its own, as in YAML, if each line is a word or a pair."""
    if _ALONE.fullmatch(text, text.rfind("\n", 0, pair.start(1)) + 1, pair.start(1)) is None:
        return None
    start = text.find("\n", pair.end(1)) + 1
    end = _end_of_block(text, pair.start(1), start)
    while (item := _ITEM.match(text, end)) is not None:  # a list is not indented more than its key
        end = item.end()
    lines = text[start:end].replace("\u2028", "").split("\n")
    first = _WORD.search(text, start, end)
    if first is None or not all(_WORD.fullmatch(line) is not None for line in lines if line.strip()):
        return None
    return hidden(text, first.start(1), end)


def _is_graphql(text: str, pair: re.Match[str]) -> bool:
    """Whether a variable or a type of GraphQL follows: `login(password: $p)` after `mutation($p: String!)`."""
    at = pair.end()
    if pair[1][0] == "$":
        return _TYPE.match(text, at) is not None
    name = _VARIABLE.match(text, at)
    return name is not None and text.rfind(f"{name[0]}:", max(at - _BEFORE, 0), at) >= 0


def _end_of_block(text: str, key: int, at: int) -> int:
    """Return where the lines end that are indented more than the line of their key."""
    line = text.rfind("\n", 0, key) + 1
    indent = _INDENT.match(text, line).end() - line  # type: ignore[union-attr]  # it matches anything
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        begins = _INDENT.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
        if begins - at <= indent and text[at:end].strip():
            break
        at = end
    while text[at - 1 : at] in ("\r", "\n", "\u2028"):
        at -= 1
    return at


def _bare(text: str, at: int) -> Value | None:
    """Return a value without quotes; of `Authorization=Bearer x` the second word, too."""
    if text[at : at + 1] == "<":
        return None if text[at + 1 : at + 2] == "/" else _plain(text, at, _OBJECT)
    if _SCHEME.match(text, at) is not None:
        return _plain(text, at, _LINE)
    if (call := _CALL.match(text, at)) is not None:
        closing = _closed(text, call.end(), at + _MAX_CALL)
        if closing is None:
            return _plain(text, at, _FORM_LINE)
        end = _MEMBER.match(text, closing).end()  # type: ignore[union-attr]  # it matches anything
        return hidden(text, at, _end_of_fallback(text, end))
    end = _BARE.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
    while end > at and text[at:end] not in PLACEHOLDERS and text[end - 1] in _TRAILING:
        end -= 1
    return hidden(text, at, _end_of_fallback(text, end)) if end > at else None


def _end_of_fallback(text: str, end: int) -> int:
    """Return where `x or "secret"` ends in source code."""
    fallback = _OR.match(text, end)
    opening = None if fallback is None else _TOKEN.match(text, fallback.end())
    if opening is None:
        return end
    closing = _end_of_quoted(text, opening.end(), opening[1])
    return min(closing + len(opening[1]), len(text))
