"""A backtest as one HTML file without scripts or addresses, to send round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from slotel.cli.backtest.terminal import by_severity, lasted, left, moment
from slotel.compile.backtest import Backtest

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .3rem}table{border-collapse:collapse;margin:.8rem 0}
th,td{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #d8dee4;font-variant-numeric:tabular-nums}
th{color:#57606a;font-weight:600}.page{color:#b3261e;font-weight:600}.ticket{color:#8a5300}.missed{color:#8b2fb0}
svg{width:100%;height:5.2rem}text{font:11px system-ui,sans-serif;fill:#57606a}p{margin:.3rem 0}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,text{color:#8d96a0;fill:#8d96a0}
th,td{border-color:#30363d}.page{color:#ff7b72}.ticket{color:#d9a13f}.missed{color:#d2a8ff}}
"""
_FILL: Final = {"page": "#d1242f", "ticket": "#d9a13f", "missed": "#a371f7"}


def report(found: Sequence[Backtest]) -> str:
    """Return the report of every objective."""
    body = "\n".join(part for each in found for part in _objective(each))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>SLO backtest</title>'
        f"<style>{_STYLE}</style></head><body><h1>Which alerts would have fired</h1>\n{body}\n</body></html>\n"
    )


def _objective(found: Backtest) -> Iterator[str]:
    yield f"<h2>{escape(found.service)} / {escape(found.slo)}</h2>"
    yield f"<p>{moment(found.begin)} – {moment(found.end)} UTC</p>"
    if found.good is None:
        yield "<p>No events: the store has no counters of this objective in this time.</p>"
        return
    yield f"<p>{found.good * 100:.6g} % good; the objective is {found.objective * 100:.10g} %{left(found)}.</p>"
    if found.silent:
        yield f"<p>Nothing was counted for {lasted(found.silent)}.</p>"
    yield _timeline(found)
    yield _table(
        ("", "alert", "from (UTC)", "for", "budget spent by then"),
        (
            (
                f'<span class="{"page" if each.severity == "page" else "ticket"}">{escape(each.severity)}</span>',
                escape(f"{each.alert} {each.windows} {each.group}".strip()),
                moment(each.begin),
                lasted(each.end - each.begin),
                "" if each.spent is None else f"{each.spent * 100:.3g} %",
            )
            for each in found.fired
        ),
    )
    if found.missed:
        yield "<p>Incidents without an alert:</p>"
        yield _table(
            ("", "from (UTC)", "for", "bad", "budget spent"),
            (
                (
                    f'<span class="missed">missed {escape(each.group)}</span>',
                    moment(each.begin),
                    lasted(each.end - each.begin),
                    f"{each.bad:.0f}",
                    f"{each.spent * 100:.3g} %",
                )
                for each in found.missed
            ),
        )
    pages = sum(each.severity == "page" for each in found.fired)
    rows = [("<b>as it is</b>", str(pages), str(len(found.fired) - pages), str(len(found.missed)))]
    rows += [(escape(a.setting), str(a.pages), str(a.tickets), str(a.missed)) for a in found.alternatives]
    yield _table(("with", "pages", "tickets", "missed"), rows)


def _table(titles: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines or '<tr><td>none</td></tr>'}</table>"


def _timeline(found: Backtest) -> str:
    length = max(found.end - found.begin, 1)
    marks = []
    for index, (name, events) in enumerate(by_severity(found).items()):
        y = 6 + index * 24
        marks.append(
            f'<text x="0" y="{y + 11}">{name}</text><rect x="60" y="{y}" width="930" height="14" fill="#8884"/>'
        )
        for each in events:
            x = 60 + 930 * max(each.begin - found.begin, 0) / length
            width = max(930 * (each.end - each.begin) / length, 2)
            title = f"<title>{moment(each.begin)}, {lasted(each.end - each.begin)}</title>"
            marks.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="14" fill="{_FILL[name]}">{title}</rect>'
            )
    return f'<svg viewBox="0 0 1000 80" preserveAspectRatio="none" role="img">{"".join(marks)}</svg>'
