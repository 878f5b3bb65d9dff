"""The page of `slotel sink`: events, and transactions as waterfalls. One document, no script, nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any, Final

MOST: Final = 50
"""Items of a kind that are shown; the newest come first."""
MOST_SPANS: Final = 200
HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}

_STYLE: Final = """
:root{color-scheme:light dark;font:15px/1.45 system-ui,sans-serif}
body{margin:0 auto;max-width:72rem;padding:1rem}h1{font-size:1.3rem}h2{font-size:1.1rem;margin-top:2rem}
code,pre,.bar{font-family:ui-monospace,monospace;font-size:.85rem}pre{overflow-x:auto;white-space:pre-wrap}
details{border:1px solid #8886;border-radius:.4rem;margin:.4rem 0;padding:.3rem .6rem}summary{cursor:pointer}
.tag{display:inline-block;border:1px solid #8886;border-radius:.8rem;padding:0 .5rem;margin:.1rem;font-size:.8rem}
.failed{color:#c62828}@media (prefers-color-scheme:dark){.failed{color:#ff8a80}}
.bar{display:grid;grid-template-columns:minmax(10rem,24rem) 1fr 6rem;gap:.5rem;align-items:center}
.bar span:first-child{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.bar span:last-child{text-align:right}
.track{position:relative;height:.8rem;background:#8882}
.track i{position:absolute;top:0;height:100%;min-width:2px;background:#3b7dd8}
.track i.failed{background:#c62828}
"""


def page(dsn: str, stats: Mapping[str, int], events: Sequence[Any], transactions: Sequence[Any]) -> str:
    """Return the page for what was received, oldest first."""
    return "".join(_page(dsn, stats, events, transactions))


def _page(
    dsn: str, stats: Mapping[str, int], events: Sequence[Any], transactions: Sequence[Any]
) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>slotel sink</title>'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield '<meta http-equiv="refresh" content="5">'
    yield f"<style>{_STYLE}</style></head><body><main><h1>slotel sink</h1>"
    yield f"<p>Set <code>SENTRY_DSN={escape(dsn)}</code> and start your service. This page reloads every 5 seconds.</p>"
    counted = ", ".join(f"{escape(name)}: {count:,}" for name, count in sorted(stats.items()))
    yield f"<p>{counted or 'Nothing was received yet.'}</p>"
    yield f"<h2>Errors and messages ({len(events)})</h2>"
    for event in list(reversed(events))[:MOST]:
        yield from _event(event)
    yield f"<h2>Transactions ({len(transactions)})</h2>"
    for transaction in list(reversed(transactions))[:MOST]:
        yield from _transaction(transaction)
    yield "</main></body></html>"


def _event(event: Mapping[str, Any]) -> Iterator[str]:
    values = (event.get("exception") or {}).get("values") or []
    last = values[-1] if values else {}
    message = event.get("message") or (event.get("logentry") or {}).get("formatted") or "event"
    title = f"{last.get('type')}: {last.get('value')}" if last else str(message)
    where = event.get("transaction") or ""
    yield f'<details><summary><b class="failed">{_text(title)}</b> {_text(where)} '
    yield f"<small>{_time(event)}</small></summary>"
    yield from _tags(event)
    for frame in reversed(((last.get("stacktrace") or {}).get("frames") or [])[-12:]):
        place = f"{frame.get('filename')}:{frame.get('lineno')} {frame.get('function')}"
        yield f"<pre>{_text(place)}\n    {_text(str(frame.get('context_line') or '').strip())}</pre>"
    yield "</details>"


def _transaction(transaction: Mapping[str, Any]) -> Iterator[str]:
    start, end = _seconds(transaction, "start_timestamp"), _seconds(transaction, "timestamp")
    trace = (transaction.get("contexts") or {}).get("trace") or {}
    status = str(trace.get("status") or "")
    shown = f'<span class="{"failed" if status not in ("ok", "") else ""}">{_text(status)}</span>'
    yield f"<details><summary><b>{_text(transaction.get('transaction'))}</b> {(end - start) * 1000:.1f} ms {shown} "
    yield f"<small>{_time(transaction)}</small></summary>"
    yield from _tags(transaction)
    yield _bar(str(trace.get("op") or "request"), start, end, start, end, failed=status not in ("ok", ""))
    spans = sorted(transaction.get("spans") or [], key=lambda span: _seconds(span, "start_timestamp"))
    for span in spans[:MOST_SPANS]:
        name = f"{span.get('op') or ''} {span.get('description') or ''}"
        failed = str(span.get("status") or "ok") != "ok"
        yield _bar(
            name, _seconds(span, "start_timestamp"), _seconds(span, "timestamp"), start, end, failed=failed
        )
    if len(spans) > MOST_SPANS:
        yield f"<p>… and {len(spans) - MOST_SPANS} more</p>"
    yield f"<p>trace <code>{_text(trace.get('trace_id'))}</code></p></details>"


def _bar(name: str, begin: float, finish: float, start: float, end: float, *, failed: bool) -> str:
    whole = max(end - start, 1e-9)
    left = min(max((begin - start) / whole, 0.0), 1.0) * 100
    width = min(max((finish - begin) / whole, 0.0), 1.0) * 100
    kind = ' class="failed"' if failed else ""
    return (
        f'<div class="bar"><span title="{_text(name)}">{_text(name)}</span><span class="track">'
        f'<i{kind} style="left:{left:.2f}%;width:{width:.2f}%"></i></span>'
        f"<span>{(finish - begin) * 1000:.1f} ms</span></div>"
    )


def _tags(item: Mapping[str, Any]) -> Iterator[str]:
    tags = item.get("tags") or {}
    pairs = tags.items() if isinstance(tags, Mapping) else (tag for tag in tags if len(tag) == 2)  # noqa: PLR2004 a pair
    for key, value in pairs:
        yield f'<span class="tag">{_text(key)}={_text(value)}</span>'


def _seconds(item: Mapping[str, Any], key: str) -> float:
    """Return a time of Sentry's: unix seconds, or ISO 8601."""
    value = item.get(key)
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _time(item: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(_seconds(item, "timestamp"), tz=timezone.utc).strftime("%H:%M:%S")


def _text(value: object) -> str:
    return escape(str(value if value is not None else ""))
