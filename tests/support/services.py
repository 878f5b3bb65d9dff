"""Services to compile, as slotel.yaml spells them."""

from pathlib import Path

from slotel.config.service import Service, read_service

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "examples" / "slotel.yaml").read_text(encoding="utf-8")


def service(text: str) -> Service:
    reading = read_service({}, text)
    assert reading.problems == ()
    return reading.service


def one(objective: str = "objective: 99%", more: str = "", name: str = "availability") -> Service:
    """A service `shop` with one objective."""
    return service(f"service: shop\nslos:\n  - {{name: {name}, {objective}}}\n{more}")
