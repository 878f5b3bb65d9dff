"""Redacts passwords in short options of command lines: `curl -u bob:x`, `mysql -px`. Pure.

A long option names its value (`--token x`). A short one is a password in some programs only, which are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern

_NEXT: Final = r"\\{0,16}['\"]?,?\s{1,4}(?:\\{0,16}['\"]){0,2}"
"""The separator of an option and its value: blanks, or the quotes and the comma of a list's `repr`."""
_VALUE: Final = r"([^\s'\",]*[^\s'\",\\])"

OPTIONS: Final = {
    r"curl": rf"(?:-[a-zA-Z]{{0,8}}u|--user|-U|--proxy-user)(?:{_NEXT}|=|['\"])?[^\s:'\",]{{0,256}}:{_VALUE}",
    r"https?(?=['\",]{0,2}\s)|httpie|xh": rf"(?:-a|--auth)(?:{_NEXT}|=)[^\s:'\",]{{0,256}}:{_VALUE}",
    r"(?:mysql|mariadb)[\w-]*": rf"-p{_VALUE}",
    r"sshpass": rf"-p(?:{_NEXT}|['\"])?{_VALUE}",
    r"ldap(?:search|add|delete|modify|passwd|whoami|compare)": rf"-w{_NEXT}{_VALUE}",
    r"redis-cli|valkey-cli": rf"-a{_NEXT}{_VALUE}",
    r"(?:docker|podman|skopeo|buildah|oras)": rf"login\b.{{0,200}}?\s['\"]?-p{_NEXT}{_VALUE}",
    r"sqlcmd|bcp": rf"-P{_NEXT}{_VALUE}",
    r"mongo(?:sh|dump|restore|import|export)?": rf"-p{_NEXT}{_VALUE}",
    r"smbclient": rf"-U{_NEXT}[^\s%'\",]{{0,256}}%{_VALUE}",
    r"az": rf"-p{_NEXT}{_VALUE}",
    r"keytool|jarsigner": rf"-(?:store|key|deststore|srcstore|destkey|srckey)pass{_NEXT}{_VALUE}",
    r"twine|beeline|useradd": rf"-p{_NEXT}{_VALUE}",
    r"htpasswd": rf"-[a-zA-Z]{{0,8}}b[a-zA-Z]{{0,8}}{_NEXT}[^\s'\",]{{1,256}}{_NEXT}[^\s'\",]{{1,256}}{_NEXT}{_VALUE}",
    r"openssl": rf"-(?:k|K|passin|passout){_NEXT}(?:pass:)?{_VALUE}",
    r"aws": rf"configure{_NEXT}set{_NEXT}[\w.-]{{0,64}}(?:secret|token)[\w.-]{{0,64}}{_NEXT}{_VALUE}",
    r"zip|unzip|7z[a-z]?": rf"-[pP](?:{_NEXT})?{_VALUE}",
}
"""Program → its options with a password, which is the last group. Source: the programs' manual pages."""

_PROGRAM: Final = lazy_pattern(rf"(?<![\w.-])(?:{'|'.join(f'({name})' for name in OPTIONS)})(?![\w.-])")
_PATTERNS: Final = tuple(lazy_pattern(rf"(?<![\w-])(?:{option})") for option in OPTIONS.values())
_LONGEST: Final = 300
"""Most characters of an option with its value."""
_AUTH: Final = "AUTH"
_MOST_OF_AUTH: Final = 3
"""Most parts of Redis's `AUTH [user] password`."""
_FAR: Final = 1_000
"""Characters after a program's name that are searched for its options."""


def redacted(text: str, found: Callable[[str], None]) -> str:
    """Return the text without the passwords in short options; `found` is called with "command" for each.

    >>> redacted("curl -su bob:hunter2 https://h", print)
    command
    'curl -su bob:[Filtered] https://h'
    """
    if (
        " -" not in text
        and "'-" not in text
        and '"-' not in text
        and "\n-" not in text
        and "configure" not in text
        and "\u2028" not in text
    ):
        return text
    pieces: list[str] = []
    done = at = 0
    seen = [0] * len(_PATTERNS)
    while program := _PROGRAM.search(text, at):
        at = program.end()
        number = (program.lastindex or 1) - 1
        # what was searched behind the same program before has no option, except for one across its end
        option = _PATTERNS[number].search(text, max(at, seen[number] - _LONGEST), at + _FAR)
        seen[number] = at + _FAR if option is None else 0
        if option is None or option[1] == REDACTED or option.start(1) < done:
            continue
        found("command")
        pieces += text[done : option.start(1)], REDACTED
        done = at = option.end(1)
    return "".join((*pieces, text[done:])) if pieces else text


def redacted_arguments(arguments: Sequence[Any], found: Callable[[str], None]) -> Sequence[Any]:
    """Return the arguments of a command without those passwords; the same object if there are none."""
    first = arguments[0] if arguments else None
    if first.__class__ is not str:
        return arguments
    if first.strip("'\"").upper() == _AUTH and len(arguments) <= _MOST_OF_AUTH:
        found("command")
        return [first, *[REDACTED] * (len(arguments) - 1)]
    if _PROGRAM.search(first) is None:
        return arguments
    if not all(argument.__class__ is str and "\n" not in argument for argument in arguments):
        return arguments
    text = "\n".join(arguments)
    clean = redacted(text, found)
    return arguments if clean == text else clean.split("\n")
