"""The status page as a real service serves it: switched off, over several workers, and what it says of OTLP."""

import re
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser

import pytest

from support.launch import Launched, wait_until
from support.otlp import Endpoint

pytestmark = pytest.mark.real

GUNICORN = (sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "flask_app:app")


class Tables(HTMLParser):
    """The rows of every table of a document, by its caption."""

    def __init__(self, text):
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._caption, self._open = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._open = tag
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.rows.setdefault(self._caption, []).append([])
        elif tag in {"td", "th"}:
            self.rows[self._caption][-1].append("")

    def handle_data(self, data):
        if self._open == "caption":
            self._caption += data
        elif self._open in {"td", "th", "strong"} and self.rows.get(self._caption):
            self.rows[self._caption][-1][-1] += data


def page(service):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/") as answer:
        return answer.read().decode()


def rows(service, caption):
    (found,) = [rows[1:] for title, rows in Tables(page(service)).rows.items() if title.startswith(caption)]
    return found


def test_off_leaves_the_metrics_alone_at_their_address():
    with Launched(sys.executable, "flask_app.py", env={"SLOTEL_PAGE": "off"}) as service:
        service.wait_ready()
        with pytest.raises(urllib.error.HTTPError) as refused:
            page(service)
        refused.value.close()
        assert refused.value.code == 404
        assert service.sample("slotel_build_info") == 1
        assert service.said("metrics=http")
        assert f"page=http://127.0.0.1:{service.metrics_port}" not in service.log


def test_a_view_counts_no_tag_as_redacted():
    """The environment, which it hides in part, holds no tags; its names are not for `/metrics`."""
    with Launched(sys.executable, "flask_app.py", env={"API_TOKEN": "hidden-value"}) as service:
        service.wait_ready()
        assert "hidden-value" not in page(service)
        assert list(service.samples("slotel_tag_violations_total")) == []


def test_over_several_workers_it_shows_what_metrics_say():
    with Launched(*GUNICORN) as service:
        service.wait_ready("/ok")

        def both_have_served():
            for path in ("/ok", "/ok", "/error", "/items/7"):
                service.get(path)
            return len(service.samples("slotel_worker_requests_total")) == 2

        wait_until(both_have_served, "both workers have served")
        wait_until(
            lambda: (
                service.sample("traces_span_metrics_calls_total", span_kind="SPAN_KIND_SERVER")
                == service.requests
            ),
            "every request is counted",
        )
        shown = {row[0]: row[1:3] for row in rows(service, "Since the start of the service")}
        for name in ("GET /ok", "GET /error", "GET /items/<int:number>"):
            server = {"span_kind": "SPAN_KIND_SERVER", "span_name": name}
            calls = service.sample("traces_span_metrics_calls_total", **server)
            failed = service.sample(
                "traces_span_metrics_calls_total", status_code="STATUS_CODE_ERROR", **server
            )
            assert shown[name] == [f"{calls:,.0f}", f"{failed:,.0f}"]
        workers = {row[0]: row[3] for row in rows(service, "3 running processes")}
        served = {
            labels["worker"]: f"{value:,.0f}"
            for labels, value in service.samples("slotel_worker_requests_total")
        }
        assert workers == {**served, "main": "–"}
        wait_until(
            lambda: re.search(r">instrumented<[^.]*\bflask\b[^.]*</dd>", page(service)),
            "what is instrumented in the workers is named: the process that answers imports no framework",
        )
        settings = {row[0]: row[1:] for row in rows(service, "Effective values")}
        assert settings["name"] == ["shop", "environment"]


@pytest.mark.parametrize("command", [(sys.executable, "flask_app.py"), GUNICORN], ids=["alone", "gunicorn"])
def test_it_says_when_otlp_delivered_last_and_when_it_was_refused(command):
    """Also where the process that answers exports nothing itself."""
    with Endpoint() as collector:
        env = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.base,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with Launched(*command, env=env) as service:
            service.wait_ready("/ok")
            assert f"<dt>traces</dt><dd>{collector.base}</dd>" in page(service)
            wait_until(
                lambda: re.search(r"<dt>last traces</dt><dd>[\d:]{8} UTC", page(service)), "traces were taken"
            )
            assert "traces refused" not in page(service)
            collector.down()
            service.get("/ok")
            wait_until(lambda: "<dt>traces refused</dt>" in page(service), "traces were refused")
            assert re.search(r"<dt>last traces</dt><dd>[\d:]{8} UTC", page(service)), (
                "the last delivery still stands"
            )
