"""The sections on objectives, requests, errors and configuration. Each is given what it shows, and decides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from math import isfinite

from slotel.config.duration import format_duration
from slotel.config.slo import MIN_BAD_EVENTS
from slotel.runtime.budget.windows import AlertState
from slotel.runtime.sentry.errors.recent import RecentError
from slotel.runtime.status_page import words
from slotel.runtime.status_page.charts import Html, Line, bar, chart, join, tag
from slotel.runtime.status_page.history import Interval, Operation
from slotel.runtime.status_page.objectives import Objective
from slotel.runtime.status_page.settings import Setting


def section(title: str, *content: object) -> Html:
    """Return a section with its heading."""
    anchor = title.lower().replace(" ", "-")
    return tag("section", tag("h2", title, id=anchor), *content, aria_labelledby=anchor)


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "", class_: str = ""
) -> Html:
    """Return a table; the first cell of a row is its heading."""
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads)))
    body = tag(
        "tbody",
        *(
            tag("tr", tag("th", row[0], scope="row", class_="name"), *(tag("td", cell) for cell in row[1:]))
            for row in rows
        ),
    )
    inner = tag("table", tag("caption", caption) if caption else None, head, body, class_=class_ or None)
    return tag("div", inner, class_="wide", tabindex=0, role="region", aria_label=caption or heads[0])


# -- objectives ------------------------------------------------------------------------------------------------


def objectives(every: Sequence[Objective]) -> Html:
    """Return a card for each objective."""
    if not every:
        return section(
            "Objectives",
            tag("p", "No objective is declared. Set ERROR_BUDGET_LIMIT, or slos in slotel.yaml."),
        )
    return section("Objectives", tag("div", *map(_objective, every), class_="cards"))


def _objective(each: Objective) -> Html:
    slo, window = each.slo, each.limit_window
    over = format_duration(window.seconds)
    what = f" within {words.duration(slo.latency)}" if slo.latency is not None else ""
    left = words.percent(each.remaining)
    facts = {
        f"errors, last {over}": f"{words.percent(window.ratio)}, limit {words.exact(slo.limit)} "
        f"({words.count(window.bad)} of {words.count(window.total)} {slo.unit})",
        "burn rate, last 5 min": f"{words.times(each.last_5m.burn)} (at 1× the budget lasts the period)",
        "time to exhaustion": _lasts(each),
    }
    ratios = [bad / total if total else None for bad, total in each.recent.points]
    worst = max((ratio for ratio in ratios if ratio is not None), default=None)
    reach = words.age(len(ratios) * each.recent.step)
    over_spent = "" if each.remaining >= 0 else ": overspent"
    label = f"Error rate of {slo.name}, last {reach}: at most {words.percent(worst)}, limit {words.exact(slo.limit)}"
    kind = "bad" if each.health == "bad" else "warn" if each.health == "warn" else "good"
    drawn = chart(label, range(len(ratios)), [Line(kind, ratios)], mark=slo.limit)
    return tag(
        "article",
        tag("h3", slo.name),
        tag("p", f"{words.exact(slo.objective)} good{what}: {slo.description}".rstrip(": "), class_="quiet"),
        tag("p", tag("span", left, class_=f"big now {each.health}"), f" budget left{over_spent}"),
        bar(f"{left} of the error budget is left", each.remaining, each.health),
        facts_list(facts.items()),
        drawn,
        tag("small", f"error rate, last {reach}, at most {words.percent(worst)}; dashed: the limit"),
        table(
            ["alert", "burn", "fires at", "now"],
            map(_alert, each.alerts),
            caption=f"Burn-rate alerts of {slo.name}: long / short window",
        ),
        class_="card" if each.health == "quiet" else f"card {each.health}",
    )  # fmt: skip


def _alert(alert: AlertState) -> tuple[object, ...]:
    rule = alert.rule
    name = f"{rule.severity} {format_duration(rule.long)}/{format_duration(rule.short)}"
    burn = f"{words.times(alert.long.burn)} / {words.times(alert.short.burn)}"
    waits = f"needs {MIN_BAD_EVENTS} bad events" if alert.burns else "–"
    return name, burn, words.times(alert.threshold), tag("strong", "fires") if alert.fires else waits


def _lasts(each: Objective) -> str:
    if each.remaining <= 0:
        return "spent"
    if not isfinite(each.exhaustion) or each.exhaustion > each.slo.period.seconds:
        return "longer than the period, if the last hour goes on"
    return f"{words.age(each.exhaustion)}, if the last hour goes on"


def facts_list(facts: Iterable[tuple[str, object]]) -> Html:
    """Return names with their values."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in facts))


# -- requests --------------------------------------------------------------------------------------------------


def traffic(now: Interval | None, hour: Sequence[Interval]) -> Html:
    """Return rate, errors and latency: now, and over the last hour."""
    if now is None or (not now.rate and not hour):
        return section("Requests", tag("p", "No request was counted yet."))
    ends = [each.end for each in hour]
    over = f"last {words.age(now.end - now.start)}"
    reach = f"last {words.age(ends[-1] - hour[0].start)}" if hour else "last hour"
    cards = (
        _number("Rate", words.rate(now.rate), over, chart(
            f"Requests a second, {reach}: at most {words.rate(max((each.rate for each in hour), default=0.0))}", ends,
            [Line("rate", [each.rate for each in hour])])),
        _number("Errors", words.percent(now.errors), over, chart(
            f"Share of failed requests, {reach}: at most {words.percent(_most(each.errors for each in hour))}", ends,
            [Line("bad", [each.errors for each in hour])])),
        _number("Latency", f"{words.duration(now.p95)}", f"p95, {over}; p50 {words.duration(now.p50)}, "
                f"p99 {words.duration(now.p99)}", chart(
            f"p50, p95, p99, {reach}: p99 at most {words.duration(_most(each.p99 for each in hour))}", ends,
            [Line("warn", [each.p99 for each in hour]), Line("p95", [each.p95 for each in hour]),
             Line("good", [each.p50 for each in hour])])),
    )  # fmt: skip
    note = "Charts have one point for each scrape and each view of this page."
    return section("Requests", tag("div", *cards, class_="cards"), tag("small", note))


def card(title: str, *content: Html) -> Html:
    """Return one of several boxes that stand side by side."""
    return tag("article", tag("h3", title), *content, class_="card")


def _number(title: str, number: str, note: str, drawn: Html) -> Html:
    return card(title, tag("p", number, class_="big"), tag("p", note, class_="quiet"), drawn)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def operations(shown: Sequence[Operation], known: int) -> Html:
    """Return operations by the share of the service's time that they take."""
    if not shown:
        return section("Operations", tag("p", "No request was counted yet."))
    rows = [
        (
            each.name,
            words.count(each.calls),
            words.count(each.failed),
            words.percent(each.failed / each.calls if each.calls else None),
            words.duration(each.p95),
            words.percent(each.impact),
        )
        for each in shown
    ]
    caption = f"Since the start of the service, by impact: {len(shown)} of {known}"
    heads = ["operation", "requests", "failed", "errors", "p95", "impact"]
    return section("Operations", table(heads, rows, caption=caption))


def errors(found: Sequence[RecentError], sentry_url: str) -> Html:
    """Return the errors that were captured for Sentry last, with links to the issue and the trace."""
    if not found:
        return section("Last errors", tag("p", "No error was captured for Sentry."))

    def link(text: str, path: str) -> object:
        if not sentry_url or not text:
            return text or "–"
        return tag("a", f"{text[:8]}…", href=f"{sentry_url}/{path}", title=text, rel="noreferrer")

    rows = [
        (
            each.error,
            each.operation or "–",
            clock(each.at),
            link(each.event_id, f"issues/?query={each.event_id}"),
            link(each.trace_id, f"performance/trace/{each.trace_id}/"),
        )
        for each in found
    ]
    note = (
        "" if sentry_url else "To link events and traces to Sentry, set monitoring.sentry_url in slotel.yaml."
    )
    heads = ["error", "operation", "at (UTC)", "event", "trace"]
    shown = table(
        heads, rows, caption="The last errors captured for Sentry, from all processes", class_="left"
    )
    return section("Last errors", shown, tag("small", note) if note else None)


def clock(at: float) -> str:
    """Return the time of day of a unix time, in UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(at))


def configuration(every: Sequence[Setting]) -> Html:
    """Return the effective configuration, folded."""
    rows = [(each.path, each.value, each.source) for each in every]
    heads = ["setting", "value", "source"]
    inner = table(heads, rows, caption="Effective values; keys are not shown", class_="left values")
    return section(
        "Configuration",
        tag("details", tag("summary", f"{len(rows)} settings", id="settings-head"), inner, id="settings"),
    )
