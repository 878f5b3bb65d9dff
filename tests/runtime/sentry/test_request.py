"""The request that an event shows."""

import pytest
from sentry_sdk.integrations import _asgi_common

from slotel.runtime.sentry.errors import request as requests
from slotel.runtime.sentry.errors.request import add_request
from slotel.runtime.upstream.frameworks.django import FORCED_ROOT


@pytest.mark.parametrize(
    ("known", "url"),
    [
        ({}, "http://shop.test/pay/7"),
        ({"root_path": "/api"}, "http://shop.test/api/pay/7"),
        ({FORCED_ROOT: "/api"}, "http://shop.test/api/pay/7"),
        pytest.param(
            {FORCED_ROOT: "/api", "path": "/api/pay/7"},
            "http://shop.test/api/pay/7",
            marks=pytest.mark.skipif(
                not hasattr(_asgi_common, "_RootPathInPath"), reason="sentry-sdk before 2.70 cannot be told"
            ),
        ),
    ],
    ids=["none", "of the server", "of Django", "in the path, too"],
)
def test_the_url_of_an_asgi_request_has_its_root_once(known, url):
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/pay/7", "query_string": b"",
        "headers": [(b"host", b"shop.test")], "server": ("shop.test", 80), **known,
    }  # fmt: skip
    event = {}
    add_request(event, scope, {})
    assert event["request"]["url"] == url
    assert "root_path" in known or "root_path" not in scope


def test_an_odd_cookie_hides_no_other(monkeypatch):
    """As Starlette reads them, which plain sentry-sdk asks."""
    header = 'a=1; b={"x": [1, 2]}; c="q\\054r"; d=\xe9; ; e ; f=a=b; g:h=1'
    parse = pytest.importorskip("starlette.requests").cookie_parser
    monkeypatch.setattr(requests, "may_send", lambda _: True)
    monkeypatch.setattr(requests, "_collected", lambda: None)
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"", "server": ("shop.test", 80),
        "headers": [(b"host", b"shop.test"), (b"cookie", header.encode("latin-1"))],
    }  # fmt: skip
    event = {}
    add_request(event, scope, {})
    assert event["request"]["cookies"] == parse(header)
    assert event["request"]["cookies"]["c"] == "q,r"
