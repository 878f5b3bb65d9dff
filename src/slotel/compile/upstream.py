"""The one private name of another project that the compiler uses: Python's own parser of regular expressions.

`sre_parse` was its public name until Python 3.11. Without either, the tests of foreign objectives take their
label values from matchers without a regular expression; an objective that needs others has no tests, and `generate`
says so.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

_PLACES: Final = ("re._parser", "sre_parse")


def parse_regex(text: str) -> Any:
    """Return the nodes of a regular expression, each a kind and a value; none if Python's parser is gone.

    Raises:
        re.error: the text is none.
    """
    for place in _PLACES:
        try:
            return importlib.import_module(place).parse(text)
        except ImportError:
            continue
    re.compile(text)
    return ()
