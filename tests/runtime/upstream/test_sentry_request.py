"""What is shown of a WSGI request is what sentry-sdk shows of it, also where sentry-sdk is not asked again."""

import itertools

import pytest
import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS

from slotel.runtime.upstream.sentry import request
from slotel.runtime.upstream.sentry.request import wsgi_request

BASE = {
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a", "QUERY_STRING": "", "SERVER_NAME": "s", "SERVER_PORT": "8000",
    "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "wsgi.input": object(), "REMOTE_ADDR": "10.0.0.1", "HTTP_ACCEPT": "*/*",
}  # fmt: skip
MORE = (
    {"HTTP_HOST": "example.org"}, {"HTTP_COOKIE": "a=b", "HTTP_AUTHORIZATION": "Basic x"}, {"HTTP_X_FORWARDED_FOR": "1.2.3.4, 5.6.7.8"},
    {"HTTP_X_REAL_IP": "9.9.9.9"}, {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3"}, {"HTTP_CONTENT_LENGTH": "4"},
    {"HTTP_X_API_KEY": "s3cret"}, {"HTTP_lower": "1", "HTTP_É": "2"}, {"werkzeug.request": object()},
)  # fmt: skip
VALUES = (
    {}, {"PATH_INFO": "/ü b/".encode().decode("latin-1"), "QUERY_STRING": "token=1&x=2"},
    {"REQUEST_METHOD": "POST", "SCRIPT_NAME": "/base/", "wsgi.url_scheme": "https", "SERVER_PORT": "443"}, {"REMOTE_ADDR": ""},
)  # fmt: skip
COLLECTS = {"data_collection": {"user_info": True, "url_query_params": {"mode": "off"}}}
OPTIONS = tuple(
    options
    for options in ({}, {"send_default_pii": True}, {"send_default_pii": False}, COLLECTS)
    if options.keys() <= DEFAULT_OPTIONS.keys()
)
"""Releases have not all of them. Without `send_default_pii`, sentry-sdk reads each request."""


@pytest.fixture(autouse=True)
def _nothing_learnt():
    request._SHAPES.clear()
    yield
    request._SHAPES.clear()


@pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_what_sentry_sdk_shows_of_each_request(options):
    try:
        sentry_sdk.init(dsn="http://k@127.0.0.1:9/1", release="r", default_integrations=False, **options)
        told = sentry_sdk.get_client().options
        for number in range(4):
            for more in itertools.combinations(MORE, number):
                keys = {key: value for each in more for key, value in each.items()}
                for values in VALUES:  # the keys of the first are known to the others
                    environ = {**BASE, **keys, **values}
                    assert wsgi_request(environ, told) == request._read(environ)
    finally:
        sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.skipif("send_default_pii" not in DEFAULT_OPTIONS, reason="sentry-sdk reads each request")
def test_sentry_sdk_is_asked_once_for_each_set_of_keys(monkeypatch):
    asked = []
    read = request._read
    monkeypatch.setattr(request, "_read", lambda environ: asked.append(environ["PATH_INFO"]) or read(environ))
    for path in ("/1", "/2", "/3"):
        wsgi_request({**BASE, "PATH_INFO": path}, {"send_default_pii": None})
        wsgi_request({**BASE, "PATH_INFO": path, "HTTP_HOST": path}, {"send_default_pii": None})
    assert asked == ["/1", "/1"]


def test_what_is_learnt_has_a_bound():
    for number in range(1000):
        wsgi_request({**BASE, f"HTTP_X_{number}": "1"}, {"send_default_pii": None})
    assert len(request._SHAPES) <= 200


def test_nothing_is_learnt_of_a_client_with_long_names_of_headers():
    long = {**BASE, **{f"HTTP_X_{number}_{'A' * 2000}": "1" for number in range(100)}}
    told = {"send_default_pii": None}
    assert wsgi_request(long, told) == wsgi_request(long, told)
    assert request._SHAPES == {}


def test_a_header_of_another_sentry_sdk_that_is_changed_is_left_to_it(monkeypatch):
    def read(environ):
        return {**real(environ), "headers": {"Accept": environ["HTTP_ACCEPT"].upper() + "!"}}

    real = request._read
    monkeypatch.setattr(request, "_read", read)
    for accepted in ("a", "b"):
        shown = wsgi_request({**BASE, "HTTP_ACCEPT": accepted}, {"send_default_pii": None})
        assert shown["headers"] == {"Accept": accepted.upper() + "!"}
