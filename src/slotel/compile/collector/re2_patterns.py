"""The collector's regular expressions (RE2) for secrets: in keys, in flattened paths, in texts.

Made from the lists of the service's redactor. RE2 has no lookaround; where that matters, more is redacted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.redaction.keys import CORES, key_pattern
from slotel.config.redaction.values import PLACEHOLDERS, Shape, shapes

NESTED: Final = "\x01"
"""Separates the attribute's own key in the flattened key of a value within a map or list."""

USER: Final = r"(://)[^/?#\s'\"<>]*@"
"""The user part of a URL, within a text."""

_KEY: Final = r"[\w.%$\[\]-]"
"""A character of a key within a text."""
_QUOTE: Final = r"\[?[bBrRuUfF]{0,2}\\{0,16}"
_SIGN: Final = r"\s{0,8}(?:=>|:=|={1,2}|:)\s{0,8}[({]?"
_BARE: Final = r"[^\s'\"<>&\\]*[^\s'\"<>&\\),.\]}]"
_ENCODED_LETTERS: Final = ("%4", "%5", "%6", "%7")
_DIGITS: Final = "0123456789"
_HINTS: Final = {
    "paseto": (".local.", ".public."),
    "bearer": ("bearer",),
    "digest": ("digest ",),
    "negotiate": ("negotiate ", "ntlm "),
    "basic": ("basic",),
    "scheme": ("token", "key", "ssws"),
    "aws": ("akia", "asia", "abia", "acca"),
    "stripe": ("k_live_", "k_test_"),
    "github": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "gitlab": (
        "glpat-", "gloas-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glimt-", "glsoat-", "glagent-",
        "glffct-",
    ),
    "vault": ("hvs.", "hvb.", "hvr."),
    "grafana": ("glsa_", "glc_"),
    "shopify": ("shpat_", "shpca_", "shppa_", "shpss_"),
    "supabase": ("sbp_", "secret"),
    "atlassian": ("atatt3", "atctt3"),
    "figma": ("figd", "figo", "figu"),
    "sonar": ("sqp_", "squ_", "sqa_"),
    "fly": ("fm1", "fm2"),
    "twilio": tuple(f"sk{digit}" for digit in f"{_DIGITS}abcdef"),
    "mailchimp": tuple(f"-us{digit}" for digit in _DIGITS),
}  # fmt: skip
"""What one of is in each such value, where the hint of a shape is in most texts."""
_WITHOUT_HINT: Final = {"airtable", "discord"}
"""Shapes that the collector leaves out: nothing rare is in all of their values, so every span would be searched."""

_NOT_RE2: Final = re.compile(
    r"\(\?(?:[=!>(#]|<[=!]|P=|P>|[ims-]*[aLux])|\\[1-9]|\\Z|\\N|\\[uU]|\\[^\x00-\x7f]|[*+?}]\+|\{,\d|\[:|\[[^\]]*\\b"
)
"""Syntax of Python's regular expressions that RE2 lacks or reads in another way: `a{,3}`, `[[:alpha:]]`."""
_IGNORES_CASE: Final = re.compile(r"\(\?[ms]*i[ims]*[-:)]")
_COUNT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MAX_COUNT: Final = 1000

_ENCODED: Final = ("password", "secret", "token", "api_key", "apikey", "authorization", "session_id")
"""Keys that are also found where a URL writes them with percent signs."""


def secret_key(globs: Sequence[str]) -> str:
    """Return the pattern of a key whose value is a secret."""
    return f"^(?:{key_pattern(globs)})$"


def nested_secret_key(globs: Sequence[str]) -> str:
    """Return the pattern of a flattened key of which a part that stands in a map is a secret's key."""
    return f"{NESTED}\\.(?:{key_pattern(globs)})(?:\\..*)?$"


def placeholders() -> str:
    """Return the pattern of a value that was redacted already."""
    return f"^(?:{'|'.join(re.escape(text) for text in sorted(PLACEHOLDERS))})$"


def pair(globs: Sequence[str]) -> str:
    """Return the pattern of a sensitive key, a separator and a value; all except the value is in groups 1 to 3."""
    return (
        rf"((?:^|[^\w.%$\[\]-])(?:{_key_in_text(globs)})(?:\\{{0,16}}[\"'])?[\])]?{_SIGN})"
        rf"(?:({_QUOTE}\")(?:[^\"\\]|\\[^\"])+|({_QUOTE}')(?:[^'\\]|\\[^'])+|{re.escape(REDACTED)}|{_BARE})"
    )


def shape(chosen: Sequence[str]) -> str:
    """Return the pattern of the chosen values that are recognised by their form."""
    return "|".join(each.pattern for each in _searched(chosen))


def suspicious(chosen: Sequence[str], globs: Sequence[str]) -> tuple[str, ...]:
    """Return lower-case texts such that every text in which a pattern can match contains one of them.

    Searching for them takes a twentieth of the time of the patterns.
    """
    own = [longest for glob in globs if (longest := max(re.split(r"[*_.\-\s]+", glob.lower()), key=len))]
    hints = [hint for each in _searched(chosen) for hint in _HINTS.get(each.name, (each.hint.lower(),))]
    found = dict.fromkeys((*CORES, *own, *hints, *_ENCODED_LETTERS, "@"))
    return tuple(text for text in found if not any(other in text and other != text for other in found))


def _searched(chosen: Sequence[str]) -> list[Shape]:
    return [each for each in shapes(chosen) if each.name not in _WITHOUT_HINT]


def encoded_pair() -> str:
    """Return the pattern of a `key=value` in a URL whose key is percent-encoded."""
    keys = "|".join("".join(map(_url_character, key)) for key in _ENCODED)
    return rf"(?i)((?:^|[?&#;])[^=&?#;\s'\"<>]{{0,64}}(?:{keys})[\[\]0-9]{{0,8}}=)[^&#;\s'\"<>]+"


def whole_pattern(key: str, pattern: str) -> str:
    """Return a tag's pattern, which must match the whole value.

    Raises:
        ValueError: RE2 cannot read it, or reads it in another way.
    """
    place = f"tags.required.{key}.pattern"
    found = _NOT_RE2.search(pattern)
    if found:
        raise ValueError(
            f"{place}: {found[0]!r} is not known to the collector's regular expressions (RE2), or means something else "
            "there: write the pattern without look-around, back-references, possessive quantifiers, named classes, "
            "{,n}, and flags but i, m and s"
        )
    if not pattern.isascii() and _IGNORES_CASE.search(pattern) is not None:
        raise ValueError(
            f"{place}: (?i) knows capitals beyond ASCII in the collector (RE2) alone: write both letters"
        )
    if any(int(count) > _MAX_COUNT for each in _COUNT.finditer(pattern) for count in each.groups() if count):
        raise ValueError(f"{place}: the collector (RE2) repeats nothing more than {_MAX_COUNT} times")
    return f"^(?:{pattern})$"


def _key_in_text(globs: Sequence[str]) -> str:
    """Return the pattern of a secret's key where it ends with the first character that is none of a key."""
    within = r"[_.%$\[\]-]"
    return (
        key_pattern(globs)
        .replace("[^a-z].*", rf"(?:[A-Z0-9]|{within}){_KEY}*")
        .replace("[^A-Za-z0-9]", within)
        .replace(".*", f"{_KEY}*")
    )


def _url_character(character: str) -> str:
    if character == "_":
        return "(?:[_-]|%5f|%2d)"
    return f"(?:{re.escape(character)}|{''.join(f'%{byte:02x}' for byte in character.encode())})"
