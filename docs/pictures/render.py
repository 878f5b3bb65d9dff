"""Makes the pictures of this folder: the dashboards, drawn by Grafana's libraries, and the status page of the demo.

Needs what the tests need, and pillow, which slotel itself never needs:

    uv pip install pillow && .venv/bin/python docs/pictures/render.py
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
sys.path.insert(0, str(ROOT / "tests"))
os.environ["SCALE"] = "0.75"

from grafana.drawing import browser  # noqa: E402 the path comes first
from runtime.status_page.looking import Look, looking  # noqa: E402
from slotel.compile import dashboards  # noqa: E402
from slotel.compile.prometheus.rules import groups  # noqa: E402
from support import scripted_day  # noqa: E402
from support.backfilled import scripted_past  # noqa: E402

CHOSEN = {"slo-detail": "&var-service=checkout&var-slo=availability", "service": "&var-service=checkout"}
SECONDS = 90
"""Of the demo, whose incident the page's pictures show."""


def main() -> None:
    """Write a PNG for each dashboard and for the states of the page."""
    with tempfile.TemporaryDirectory() as directory:
        draw_dashboards(Path(directory))
        look_at_the_page()
    for picture in HERE.glob("*.png"):
        with Image.open(picture) as full:
            full.convert("RGB").quantize(160, dither=Image.Dither.NONE).save(picture, optimize=True)
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")


def draw_dashboards(work: Path) -> None:
    """Draw the example's dashboards over the day."""
    example = (ROOT / "examples" / "slotel.yaml").read_text(encoding="utf-8")
    services = scripted_day.services(example)
    rules = [group for service in services for group in groups(service)]
    boards = work / "boards"
    boards.mkdir()
    uids = {}
    for path, text in dashboards.files(services[0]).items():
        uids[Path(path).stem] = uid = json.loads(text)["uid"]
        (boards / f"{uid}.json").write_text(text, encoding="utf-8")
    start, end = scripted_day.START, scripted_day.END
    with (
        scripted_past(work, rules) as day,
        browser(boards) as chromium,
    ):
        chromium.use(day.url)
        for name, uid in uids.items():
            address = f"/d/{uid}?from={start * 1000}&to={end * 1000}{CHOSEN.get(name, '')}"
            chromium.draw(
                address, theme="light" if name == "pipeline" else "dark", png=str(HERE / f"{name}.png")
            )


def look_at_the_page() -> None:
    """Run the demo and picture its page: at the height of the incident, after it, and when the service is gone."""
    with demo() as (process, url), looking() as look:
        began = time.monotonic()
        look.open(url)  # the charts have a point for each look
        time.sleep(SECONDS * 0.37)
        for name, options in {
            "page-incident": {"theme": "dark"},
            "page-incident-light": {"theme": "light"},
            "page-phone": {"theme": "dark", "width": 390, "height": 844},
        }.items():
            look.open(url, **options)
            picture(look, name, full=name == "page-phone")
        time.sleep(max(0.0, SECONDS * 0.88 - (time.monotonic() - began)))
        look.open(url, theme="light")
        picture(look, "page-recovered", full=True)
        process.wait()
        time.sleep(4)
        picture(look, "page-dead", full=False)


def picture(look: Look, name: str, *, full: bool) -> None:
    """Write a picture of what the browser shows."""
    look.ask("wait", milliseconds=500)
    look.ask("picture", png=str(HERE / f"{name}.png"), full=full)


@contextmanager
def demo() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `slotel demo`; yield it with the address of its page."""
    command = [
        str(Path(sys.executable).with_name("slotel")),
        "demo",
        "--headless",
        "--port",
        "0",
        "--seconds",
        str(SECONDS),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 it is piped
        yield process, process.stderr.readline().split()[-1]


if __name__ == "__main__":
    main()
