"""A service's choices for redaction, and the texts that are not secrets. Pure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from slotel.config.redaction.values import DEFAULT_VALUES
from slotel.config.value_types import Shapes

PLACEHOLDERS: Final = frozenset(
    {"[Filtered]", "[REDACTED]", "REDACTED", "[redacted]", "<redacted>", "redacted", "***", "*****", "********",
     "**********", "[Removed]", "%s", "?", "", "None", "null"}
)  # fmt: skip
"""Values in which somebody upstream has already hidden a secret, or that hold none: they stay as they are."""


class RedactionChoices(NamedTuple):
    """A service's choices for redaction, in addition to `tags.redact`.

    Args:
        values: the shapes of values that are redacted, of VALUE_NAMES.
        sql: `parameterise` replaces the literals of SQL statements by `?`.
        argv: the process's command line in Sentry's events: each argument `redact`ed as any text, all `drop`ped, or
            all `keep`ed.
    """

    values: Shapes = DEFAULT_VALUES
    sql: Literal["keep", "parameterise"] = "keep"
    argv: Literal["redact", "drop", "keep"] = "redact"
