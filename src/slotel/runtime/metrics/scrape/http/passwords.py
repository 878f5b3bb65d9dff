"""Users of basic authentication with bcrypt hashes. Guesses are limited; a password that was right once is not delayed.

A bcrypt check takes a tenth of a second of the endpoint's only thread: without the limit a client with wrong
passwords could block every scrape.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

_HASH: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_SHARE: Final = 0.1
"""Share of the time that checking new passwords may take."""
_BURST: Final = 0.5
"""Seconds of such checks that may follow each other: several scrapers come at the same time after a start."""
_LONGEST: Final = 72
"""Bytes of a password that bcrypt looks at."""
_MAX_WRONG: Final = 100
_PROCESS_KEY: Final = os.urandom(32)


def is_hash(text: str) -> bool:
    """Return whether a text is a bcrypt hash."""
    return _HASH.fullmatch(text) is not None


class Users:
    """The users that may read the endpoint, with the hashes of their passwords, each one that `is_hash`."""

    def __init__(self, hashes: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._hashes, self._clock = dict(hashes), clock
        self._right: dict[str, bytes] = {}
        self._wrong: set[bytes] = set()
        self._spent, self._at = 0.0, clock()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._hashes)

    def is_right(self, name: str, password: str) -> bool | None:
        """Return whether this is a user with their password; None: ask again later, too many were guessed.

        An unknown user takes as long as a known one.
        """
        given = hmac.digest(_PROCESS_KEY, f"{name}\0{password}".encode(), "sha256")
        if hmac.compare_digest(self._right.get(name, b""), given):
            return True
        if given in self._wrong:
            return False
        began = self._clock()
        self._spent = max(self._spent - (began - self._at) * _SHARE, 0.0)
        self._at = began
        if self._spent > _BURST:
            return None
        hashed = self._hashes.get(name)
        is_right = _check(password, hashed or next(iter(self._hashes.values()))) and hashed is not None
        self._spent += self._clock() - began
        if is_right:
            self._right[name] = given
        else:
            if len(self._wrong) >= _MAX_WRONG:
                self._wrong.clear()
            self._wrong.add(given)
        return is_right


def _check(password: str, hashed: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password.encode()[:_LONGEST], hashed.encode())
    except ValueError:  # older ones take no NUL
        return False
