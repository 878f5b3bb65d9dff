"""Chromium that looks at a status page, and what it sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.chromium import Driver, driven
from support.grafana_libraries import libraries

HERE = Path(__file__).parent


class Look(Driver):
    """One page in one browser."""

    def open(self, url: str, **options: Any) -> dict[str, str]:
        """Open the page (width, height, theme, javascript); return the answer's headers."""
        return self.ask("open", url=url, **options)["headers"]

    def read(self) -> dict[str, Any]:
        """What stands there now."""
        return self.ask("read")


@contextmanager
def looking() -> Iterator[Look]:
    with driven(HERE / "look.mjs", str(libraries())) as process:
        yield Look(process)


def rows(seen: dict[str, Any], caption: str) -> list[list[str]]:
    """The rows of the table whose caption begins so."""
    (found,) = [body for title, body in seen["tables"] if title.startswith(caption)]
    return found
