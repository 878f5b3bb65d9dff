"""Small charts as SVG, and HTML that escapes by construction. Knows no metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Final, NamedTuple

WIDTH: Final = 240.0
HEIGHT: Final = 44.0


class Html(str):
    """Markup that is ready; any other text is escaped where it is put into a tag."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return an element. A `_` at an attribute's end is dropped, one inside is a dash; None and False leave it out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        plain = key.rstrip("_").replace("_", "-")
        written.append(f" {plain}" if value is True else f' {plain}="{escape(str(value), quote=True)}"')
    return Html(f"<{name}{''.join(written)}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    """Return markup and texts one after the other; None is nothing."""
    return Html("".join(_text(child) for child in children if child is not None))


def _text(child: object) -> str:
    if isinstance(child, Html):
        return child
    if isinstance(child, (list, tuple)):
        return join(child)
    return escape(str(child), quote=True)


class Line(NamedTuple):
    """One line of a chart: its class, and a value (or a gap) for each point."""

    class_: str
    values: Sequence[float | None]


def chart(label: str, times: Sequence[float], lines: Sequence[Line], *, mark: float | None = None) -> Html:
    """Return lines over time as SVG, from 0 up; `label` says in words what they show.

    Args:
        times: of the points, rising.
        mark: a value drawn as a dashed line across.
    """
    known = [value for line in lines for value in line.values if value is not None]
    if len(times) < 2 or not known:  # noqa: PLR2004 a line has two ends
        return tag("p", "No chart yet.", class_="quiet")
    top = max([*known, *([mark] if mark is not None else [])]) or 1.0
    start, reach = times[0], (times[-1] - times[0]) or 1.0

    def point(at: float, value: float) -> str:
        return f"{(at - start) / reach * WIDTH:.1f},{HEIGHT - 2 - min(value / top, 1.0) * (HEIGHT - 4):.1f}"

    drawn: list[Html] = []
    if mark is not None:
        y = f"{HEIGHT - 2 - mark / top * (HEIGHT - 4):.1f}"
        drawn.append(tag("line", x1=0, x2=WIDTH, y1=y, y2=y, class_="mark"))
    for line in lines:
        drawn += [
            tag("polyline", points=" ".join(point(*each) for each in piece), class_=line.class_)
            for piece in _pieces(times, line.values)
        ]
    return tag(
        "svg", *drawn, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", preserveAspectRatio="none", role="img",
        aria_label=label,
    )  # fmt: skip


def _pieces(times: Sequence[float], values: Sequence[float | None]) -> Iterable[list[tuple[float, float]]]:
    """Yield the runs of points between the gaps; a single point becomes a short line, or it would not be seen."""
    for is_known, points in groupby(zip(times, values, strict=True), lambda point: point[1] is not None):
        piece = [(at, value) for at, value in points if value is not None]
        if is_known and len(piece) == 1:
            at, value = piece[0]
            short = (times[-1] - times[0]) / 100
            piece.append((at + short if at == times[0] else at - short, value))
        if is_known:
            yield piece


def bar(label: str, share: float, class_: str) -> Html:
    """Return a bar that is filled from 0 to 1."""
    filled = max(0.0, min(share, 1.0)) * 100
    return tag(
        "svg",
        tag("rect", x=0, y=0, width=100, height=6, class_="empty"),
        tag("rect", x=0, y=0, width=f"{filled:.1f}", height=6, class_=class_),
        viewBox="0 0 100 6", preserveAspectRatio="none", class_="bar", role="img", aria_label=label,
    )  # fmt: skip
