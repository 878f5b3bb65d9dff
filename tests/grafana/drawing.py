"""Drives Chromium, in which Grafana's npm libraries draw dashboards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.chromium import Driver, driven
from support.grafana_libraries import bundle, libraries

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Drawn:
    """A dashboard as it stands in the browser."""

    panels: dict[str, dict[str, Any]]
    chosen: dict[str, Any]
    links: dict[str, str]
    faults: list[str]
    hidden_legends: list[str]

    def empty(self) -> set[str]:
        """Titles of the panels that show words in place of data, whatever their kind."""
        return {title for title, panel in self.panels.items() if "empty" in panel or _has_no_number(panel)}

    def text(self, title: str) -> list[str]:
        """The numbers of a panel as a person reads them."""
        panel = self.panels[title]
        if "empty" in panel:
            return [panel["empty"]]
        return [text for _, text, _ in panel["values"]]

    def color(self, title: str) -> str:
        return self.panels[title]["values"][0][2]


GREY = "#808080"


def _has_no_number(panel: dict[str, Any]) -> bool:
    values = panel.get("values")
    return values is not None and all(
        color == GREY and not any(map(str.isdigit, text[:1])) for _, text, color in values
    )


class Browser(Driver):
    """Chromium with the dashboards of a folder; one page."""

    @property
    def origin(self) -> str:
        """Where the dashboards are served."""
        return self.ready["origin"]

    def use(self, prometheus: str, **settings: Any) -> None:
        """Let the dashboards ask this Prometheus."""
        source = {
            "uid": "slotel-prometheus", "name": "Prometheus (slotel)", "type": "prometheus",
            "jsonData": {"timeInterval": "15s", **settings},
        }  # fmt: skip
        self.ask("source", prometheus=prometheus, settings=source)

    def draw(self, address: str, **options: Any) -> Drawn:
        """Open `/d/uid?…`: width, theme, and png, where the picture goes."""
        return _drawn(self.ask("draw", path=address, **options))

    def click(self, text: str) -> tuple[str, Drawn]:
        """Click the first link with this text; return where it led, drawn."""
        found = self.ask("click", text=text)
        return found["url"], _drawn({**found, "links": [], "hiddenLegends": []})


def _drawn(state: dict[str, Any]) -> Drawn:
    panels = {panel["title"]: panel for panel in state["shown"]}
    return Drawn(panels, state["chosen"], dict(state["links"]), state["faults"], state["hiddenLegends"])


@contextmanager
def browser(boards: Path) -> Iterator[Browser]:
    """Serve a folder of dashboards by their uid, and open the browser."""
    with driven(HERE / "browser.mjs", str(libraries()), str(bundle()), str(boards)) as process:
        yield Browser(process)
