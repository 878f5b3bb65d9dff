"""The page: gathers what is known, and answers with one HTML document that needs nothing else."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from slotel.packaged import packaged_text
from slotel.runtime.metrics.scrape.http.connection import Answer
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.state import UNNAMED
from slotel.runtime.status_page import health, sections
from slotel.runtime.status_page.charts import Html, join, tag
from slotel.runtime.status_page.history import History, durations, operations
from slotel.runtime.status_page.objectives import objectives, verdict
from slotel.runtime.status_page.settings import Setting, settings
from slotel.version import __version__

if TYPE_CHECKING:
    from slotel.runtime.finding import Finding
    from slotel.runtime.state import Runtime
    from slotel.runtime.status_page.shared import ProcessStatus

REFRESH: Final = 10
"""Seconds after which a browser without JavaScript asks again."""
MARKS: Final = {"good": "●", "warn": "▲", "bad": "■", "quiet": "○"}
"""Verdicts for those who see no colour."""


class StatusPage:
    """Answers `/`. What is costly and does not change is computed once, at the first view.

    Args:
        environ: as it was at the start.
        families: returns what `/metrics` is written from.
        status: returns the status of all processes.
    """

    def __init__(
        self,
        runtime: Runtime,
        environ: Mapping[str, str],
        families: Callable[[], list[Family]],
        status: Callable[[], ProcessStatus],
    ) -> None:
        self._runtime, self._families = runtime, families
        self._redactor = Redactor(runtime.service.tags.redact, runtime.service.redaction)
        """Not the one of exports: what a view hides is no violation of the tag policy."""
        self._environ = self._redactor.attributes(dict(environ))
        self._status = status
        self._history = History()

    def observe(self, families: Iterable[Family]) -> None:
        """Remember a scrape: it computed already what the charts need."""
        self._history.add(families)

    def answer(self) -> Answer:
        """Return the page."""
        text = self.render()
        style, script = self._assets
        policy = (
            f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = (
            ("Content-Security-Policy", policy),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        )
        return Answer("200 OK", "text/html; charset=utf-8", text.encode("utf-8", "replace"), headers=headers)

    def render(self) -> str:
        """Return the page as HTML."""
        runtime, families = self._runtime, self._families()
        self._history.add(families)
        family = durations(families)
        bounds, created = (
            (family.bounds, family.created) if family is not None else ((), runtime.store.created)
        )
        every = objectives(runtime.budget_windows)
        state, sentence = verdict(every)
        shown, known = operations(families)
        base = runtime.service.monitoring.sentry_url
        status = self._status()
        body = (
            tag(
                "p",
                tag("span", MARKS[state], aria_hidden="true"),
                tag("span", sentence),
                class_=f"verdict {state}",
            ),
            sections.objectives(every),
            sections.traffic(
                self._history.last_minute(bounds, runtime.store.created), self._history.hour(bounds)
            ),
            sections.operations(shown, known),
            sections.errors(status.errors, base),
            health.delivery(runtime, families, status.deliveries, self._environ),
            health.workers(runtime, families, created),
            health.itself(runtime, families, status.instrumentations, self._coverage),
            sections.configuration(self._settings),
        )
        return self._document(MARKS[state], body)

    def _document(self, mark: str, body: Iterable[Html]) -> str:
        runtime = self._runtime
        style, script = self._assets
        name = runtime.service_name
        release = str(runtime.resource.get("service.version", "") or runtime.service.sentry.release or "")
        place = " · ".join(filter(None, (release, runtime.service.sentry.environment or "")))
        head = (
            Html(
                '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            ),
            Html(
                f'<noscript><meta http-equiv="refresh" content="{REFRESH}"></noscript><link rel="icon" href="data:,">'
            ),
            tag("title", f"{mark} {name}"),
            tag("style", style),
        )
        header = tag(
            "header", tag("h1", name), tag("span", place, class_="quiet"),
            tag("span", "", id="live", role="status", class_="quiet"),
        )  # fmt: skip
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        footer = tag(
            "footer",
            f"slotel {__version__} · process {os.getpid()} answered at {now} for the whole service · ",
            tag("a", "metrics", href="/metrics"),
        )
        page = tag("body", header, tag("main", *body, footer), tag("script", script))
        return f'<!doctype html><html lang="en"><head>{join(head)}</head>{page}</html>'

    # -- computed once ----------------------------------------------------------------------------------------

    @cached_property
    def _assets(self) -> tuple[Html, Html]:
        style, script = (
            packaged_text("slotel.runtime.status_page", name) for name in ("page.css", "page.js")
        )
        return Html(style), Html(script)

    @cached_property
    def _settings(self) -> list[Setting]:
        runtime = self._runtime
        name = None if runtime.service_name.startswith(UNNAMED) else runtime.service_name
        return settings(replace(runtime.service, name=name), self._environ, self._redactor)

    @cached_property
    def _coverage(self) -> list[Finding]:
        from slotel.runtime.checks.instrumentation import coverage

        return list(coverage(self._environ))


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
