"""Makes the pictures of this folder: the generated dashboards' queries, answered by a real Prometheus, drawn by draw.py.

No Grafana takes part. Needs prometheus, promtool, chromium, and pillow, which slotel itself never needs:
    uv pip install pillow && .venv/bin/python docs/pictures/render.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

import draw  # noqa: E402 the path comes first
import scripted_day  # noqa: E402

from slotel.compile import dashboards  # noqa: E402
from slotel.compile.rules import groups  # noqa: E402
from support.backfilled import past  # noqa: E402
from support.shown import ask, panels, resolve  # noqa: E402

NOTE = (
    "Data of the generated dashboard, answered by Prometheus over a scripted day (UTC) and drawn by docs/pictures/draw.py; "
    "the 30 days hold this one day. Not a screenshot of Grafana."
)
CHOSEN = {"slo-detail": {"service": "checkout", "slo": "availability"}, "service": {"service": "checkout"}}


def main() -> None:
    """Write a PNG for each dashboard beside this file."""
    services = scripted_day.services((ROOT / "examples" / "slotel.yaml").read_text(encoding="utf-8"))
    rules = [group for service in services for group in groups(service)]
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        with past(
            work / "day", scripted_day.openmetrics(), rules, scripted_day.START, scripted_day.END
        ) as day:
            for path, text in dashboards.files(services[0]).items():
                board, name = json.loads(text), Path(path).stem
                values = resolve(board, day, CHOSEN.get(name, {}))
                answers = {panel["id"]: ask(panel, day, values) for panel in panels(board)}
                shown, height = draw.page(board, answers, NOTE)
                (work / f"{name}.html").write_text(shown, encoding="utf-8")
                _photograph(work / f"{name}.html", Path(__file__).parent / f"{name}.png", height)
                print(f"{name}.png: {len(answers)} panels")


def _photograph(page: Path, picture: Path, height: int) -> None:
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1348,{height}",
         f"--screenshot={picture}", f"--user-data-dir={page.parent / 'browser'}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with Image.open(picture) as full:
        full.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main()
