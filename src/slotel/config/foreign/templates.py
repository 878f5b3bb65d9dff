"""Finds what Prometheus would refuse in the templates of alerts: Go's templates, with Prometheus' functions.

Prometheus refuses a whole file of rules for one template that it cannot parse. Source: Go's text/template; Prometheus'
documentation, "Template reference" (3.13).
"""

from __future__ import annotations

import re
from typing import Final

_FUNCTIONS: Final = frozenset((
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery", "args", "externalURL", "first", "graphLink", "humanize", "humanize1024",
    "humanizeDuration", "humanizePercentage", "humanizeTimestamp", "label", "match", "now", "parseDuration",
    "pathPrefix", "query", "reReplaceAll", "safeHtml", "sortByLabel", "stripDomain", "stripPort", "strvalue",
    "tableLink", "title", "toDuration", "toLower", "toTime", "toUpper", "urlQueryEscape", "value",
    "true", "false", "nil",
))  # fmt: skip
_OPENING: Final = frozenset(("if", "range", "with", "define", "block"))
_KEYWORDS: Final = _OPENING | {"else", "end", "template", "break", "continue"}
_GIVEN: Final = frozenset(("$", "$labels", "$value", "$externalLabels", "$externalURL"))
_TEXT: Final = r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|' + r"'(?:[^'\\\n]|\\.)+'"
_ACTION: Final = re.compile(
    rf"\{{\{{(?:-\s)?(?P<inner>\s*/\*.*?\*/\s*|(?:{_TEXT}|[^{{}}\"'`])*?)(?:\s-)?\}}\}}", re.DOTALL
)
_TOKEN: Final = re.compile(
    rf"(?P<text>{_TEXT})|(?P<variable>\$\w*)|(?P<field>\.\w*)|(?P<number>[-+]?\d[\w.]*)|(?P<word>\w+)|(?P<sign>:=|[=|(),])"
    r"|(?P<blank>\s+)|(?P<wrong>.)",
    re.DOTALL,
)


def fault_of(text: str) -> str:
    """Return what Prometheus would not parse in a label or annotation; empty if nothing.

    >>> fault_of("{{ $labels.job }} is down"), fault_of("{{ $label.job }}"), fault_of("{{ $labels.job }")
    ('', 'there is no variable $label', "'{{ $labels.job }' is no template: it does not end, or holds what none does")
    """
    depth, place, known = 0, 0, set(_GIVEN)
    while (begin := text.find("{{", place)) >= 0:
        action = _ACTION.match(text, begin)
        if action is None:
            return f"'{text[begin : begin + 40]}' is no template: it does not end, or holds what none does"
        place, inner = action.end(), action["inner"].strip()
        if inner.startswith("/*"):
            continue
        first, fault = _read(inner, known)
        if fault:
            return fault
        depth += (first in _OPENING) - (first == "end")
        if depth < 0 or (first == "else" and not depth):
            return f"{{{{ {first} }}}} without {{{{ if }}}}"
    return "{{ end }} is missing" if depth else ""


def _read(inner: str, known: set[str]) -> tuple[str, str]:
    """Return the first word of an action, and what is wrong with it."""
    tokens = [
        (str(found.lastgroup), found[0]) for found in _TOKEN.finditer(inner) if found.lastgroup != "blank"
    ]
    if not tokens:
        return "", "{{ }} is empty"
    known.update(
        text for kind, text in tokens if kind == "variable" and ":=" in inner.partition(text)[2][:20]
    )
    brackets = 0
    for kind, text in tokens:
        brackets += (text == "(") - (text == ")")
        if kind == "wrong" or brackets < 0:
            return "", f"unexpected '{text}' in '{{{{ {inner} }}}}'"
        if kind == "variable" and text not in known:
            return "", f"there is no variable {text}"
        if kind == "word" and text not in _FUNCTIONS and text not in _KEYWORDS:
            return "", f"there is no function '{text}'"
    return tokens[0][1], f"'{{{{ {inner} }}}}' lacks ')'" if brackets else ""
