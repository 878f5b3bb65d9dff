"""sentry-sdk's list of ignored loggers means what it means without slotel, and costs nothing for a name that it knows."""

import logging
from fnmatch import fnmatch

import pytest
import sentry_sdk
from sentry_sdk.integrations import logging as sentry_logging

from slotel.runtime.upstream.sentry.integrations import remember_ignored_loggers

NAMES = ("shop", "shop.cart", "shopping", "urllib3.connection", "[a]", "a", " shop ")
PATTERNS = ("shop", "shop.*", "[!a]*", "s?op", "[[]a]", "SHOP")


@pytest.fixture
def asked(monkeypatch):
    """Return what sentry-sdk's comparison is asked for."""
    seen = []

    def compare(name, pattern):
        seen.append((name, pattern))
        return fnmatch(name, pattern)

    monkeypatch.setattr(sentry_logging, "fnmatch", compare)
    remember_ignored_loggers()
    return seen


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_logger_is_ignored_as_by_sentry_sdk_alone(asked, pattern):
    for name in NAMES * 2:
        assert sentry_logging.fnmatch(name, pattern) == fnmatch(name, pattern)
    assert len(asked) == len(NAMES)


def test_a_logger_that_the_app_ignores_later_leaves_no_breadcrumb_from_then_on(asked):
    """And one that it no longer ignores leaves them again."""
    left = []
    suffix = (
        "_for_events" if hasattr(sentry_logging, "ignore_logger_for_events") else ""
    )  # of 3, breadcrumbs too
    ignore, unignore = (getattr(sentry_logging, f"{name}_logger{suffix}") for name in ("ignore", "unignore"))
    client = sentry_sdk.Client(
        "http://k@127.0.0.1:9/1", release="r", default_integrations=False, integrations=[sentry_logging.LoggingIntegration()],
        before_breadcrumb=lambda crumb, _: left.append(crumb["message"]),
    )  # fmt: skip
    log = logging.getLogger("shop.cart")
    sentry_sdk.get_global_scope().set_client(client)
    try:
        log.warning("one")
        log.warning("two")
        ignore("shop.*")
        log.warning("three")
        unignore("shop.*")
        log.warning("four")
    finally:
        unignore("shop.*")
        sentry_sdk.get_global_scope().set_client(None)
        client.close()
    assert left == ["one", "two", "four"]
    assert len(set(asked)) == len(asked)
