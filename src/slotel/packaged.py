"""The data files in slotel's package."""

from __future__ import annotations

from contextlib import suppress


def packaged_text(package: str, name: str) -> str:
    """Return the text of a package's file, also out of a zip; "" where what bundles the app has left it out."""
    from pkgutil import get_data

    with suppress(OSError):
        return (get_data(package, name) or b"").decode()
    return ""
