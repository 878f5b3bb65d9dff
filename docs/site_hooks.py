"""For the site alone: a link to a file outside of docs/ leads to the repository; the codes are listed in the navigation."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """List the pages of the codes, which are generated."""
    codes = sorted(path.name for path in (Path(__file__).parent / "reference/codes").glob("SLO*.md"))
    for tab in config["nav"]:
        for group in next(iter(tab.values())) if isinstance(next(iter(tab.values())), list) else ():
            if group.get("Codes") == "reference/codes/":
                group["Codes"] = [
                    "reference/codes/index.md",
                    *(f"reference/codes/{name}" for name in codes),
                ]
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replace links that leave the documentation, or lead to its decisions, by links to the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        inside = path.removeprefix("docs/") if path.startswith("docs/") else None
        if inside is not None and files.get_file_from_path(inside) is not None:
            return match[0]
        return f"{text}({config['repo_url']}/blob/main/{path}{anchor})"

    return LINK.sub(replaced, markdown)
