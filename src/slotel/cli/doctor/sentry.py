"""Sentry from here: reachable, with which clock, and what it answers to an event and a transaction."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import urllib3

from slotel.config.service import SentrySettings
from slotel.runtime.finding import Finding
from slotel.runtime.sentry.client.dsn import dsn_finding, read_dsn

TIMEOUT: Final = 5.0
MAX_CLOCK_SKEW: Final = 60.0
_OK: Final = 200
_VERDICTS: Final[Mapping[int, tuple[str, str, str]]] = {
    401: ("SLO143", "the key is rejected", "check the key in SENTRY_DSN"),
    403: ("SLO143", "the key is rejected", "check the key in SENTRY_DSN"),
    404: ("SLO143", "there is no such project", "check the project number in SENTRY_DSN"),
    413: ("SLO144", "the size is refused", "raise the body limit of the proxy before Sentry"),
    429: ("SLO145", "the rate is limited", "wait, lower SENTRY_TRACES_SAMPLE_RATE, or raise the quota"),
}
"""Status → code, cause, fix."""


def configured(dsn: str | None) -> Iterator[Finding]:
    """Whether errors and transactions have a destination."""
    yield dsn_finding(dsn)


def reach(dsn: str | None) -> Iterator[Finding]:
    """Whether the DSN's host answers, through the proxy that the environment names, and what time it has there."""
    target = _target(dsn)
    if target is None:
        return
    from slotel.runtime.sentry.transport.endpoint import Endpoint, proxy_fault  # it imports sentry-sdk

    proxy = _proxy(target)
    fault = proxy_fault(proxy) if proxy else None
    if fault is not None:
        yield Finding("sentry", "fail", "the proxy cannot be used", fault, "SLO147")
        return
    try:
        with closing(Endpoint(target.geturl(), {})) as endpoint:
            date = endpoint.date(TIMEOUT)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        yield unreachable(error, target)
        return
    through = f" through {_shown(proxy)}" if proxy else ""
    yield Finding("sentry", "ok", f"{_host(target)} answers{through}; the key is tried with --send")
    yield from _clock(date, _host(target))


def send(settings: SentrySettings) -> Iterator[Finding]:
    """Send one event and one transaction, as a service does; yield their ids, or why they were refused."""
    target = _target(settings.dsn)
    if target is None:
        yield Finding("sentry", "fail", "nothing was sent: there is no valid DSN", "set SENTRY_DSN", "SLO140")
        return
    from slotel.runtime.sentry.transport.encode import envelope, serialize
    from slotel.runtime.sentry.transport.endpoint import Endpoint

    with closing(Endpoint(target.geturl(), {})) as endpoint:
        for kind, payload in (("event", _event(settings)), ("transaction", _transaction(settings))):
            head = {"event_id": payload["event_id"]}
            body = envelope(head, [({"type": kind}, serialize(payload))], time.time())
            try:
                answer = endpoint.post(body, gzipped=False, timeout=TIMEOUT)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                yield unreachable(error, target)
                return
            yield verdict(kind, payload["event_id"], answer.status, answer.limits or "")


def verdict(kind: str, event_id: str, status: int, limits: str) -> Finding:
    """Return what an answer to an envelope means."""
    if status == _OK and limits:
        text = f"{kind} {event_id} was taken, but the rate is limited: {limits}"
        return Finding("sentry", "warn", text, _VERDICTS[429][2], "SLO145")
    if status == _OK:
        return Finding("sentry", "ok", f"{kind} sent: {event_id}")
    code, cause, fix = _VERDICTS.get(
        status, ("SLO146", "Sentry has a fault", "read the log of Sentry, or of the proxy before it")
    )
    return Finding("sentry", "fail", f"{kind} refused with status {status}: {cause}", fix, code)


def unreachable(error: Exception, target: SplitResult) -> Finding:
    """Return why nothing was reached."""
    reason = getattr(error, "reason", None) or error
    text = f"{_host(target)} cannot be reached: {sentence(reason)}"
    if any(isinstance(each, urllib3.exceptions.ProxyError) for each in (error, reason)):
        text = f"{text}, through the proxy {_shown(_proxy(target) or '')}"
        return Finding("sentry", "fail", text, "check HTTPS_PROXY and NO_PROXY", "SLO147")
    if isinstance(reason, (urllib3.exceptions.SSLError, ssl.SSLError)):
        fix = "set SSL_CERT_FILE to your certificate authority's file, or write http:// if the port speaks no TLS"
        return Finding("sentry", "fail", text, fix, "SLO142")
    return Finding("sentry", "fail", text, "check the DSN's host, a firewall, or HTTPS_PROXY", "SLO142")


def _proxy(target: SplitResult) -> str | None:
    from slotel.runtime.sentry.transport.endpoint import named_proxy

    return named_proxy(target.scheme, target.hostname or "", {}, target.port)


def _target(dsn: str | None) -> SplitResult | None:
    try:
        read_dsn(dsn or "")
    except ValueError:
        return None
    return urlsplit((dsn or "").strip())


def _host(target: SplitResult) -> str:
    """Return host and port as they stand in a URL, an IPv6 address in its brackets."""
    return target.netloc.rpartition("@")[2]


def _clock(date: str | None, host: str) -> Iterator[Finding]:
    if not date:
        return
    try:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    if abs(skew) > MAX_CLOCK_SKEW:
        text = (
            f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} that of {host}"
        )
        yield Finding("clock", "warn", text, "synchronise the clock", "SLO148")


def _event(settings: SentrySettings) -> dict[str, Any]:
    return {
        **_common(settings),
        "level": "info",
        "logger": "slotel.doctor",
        "message": "slotel doctor: a test event",
    }


def _transaction(settings: SentrySettings) -> dict[str, Any]:
    now = time.time()
    trace = {
        "trace_id": uuid.uuid4().hex,
        "span_id": uuid.uuid4().hex[:16],
        "op": "slotel.doctor",
        "status": "ok",
    }
    return {
        **_common(settings), "type": "transaction", "transaction": "slotel doctor", "start_timestamp": now - 0.01,
        "timestamp": now, "contexts": {"trace": trace}, "spans": [],
    }  # fmt: skip


def _common(settings: SentrySettings) -> dict[str, Any]:
    named = {"environment": settings.environment, "release": settings.release}
    return {
        "event_id": uuid.uuid4().hex, "timestamp": time.time(), "platform": "python",
        **{key: value for key, value in named.items() if value},
    }  # fmt: skip


def _shown(proxy: str) -> str:
    """Return a proxy's address without its password."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def sentence(error: object) -> str:
    """Return an error's text without the object that urllib3 puts before it.

    >>> sentence("<urllib3.connection.HTTPConnection object at 0x7f>: Failed to connect: refused")
    'Failed to connect: refused'
    """
    text = str(error)
    return text.partition(">: ")[2] or text
