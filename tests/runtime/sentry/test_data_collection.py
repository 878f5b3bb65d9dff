"""What the app's `data_collection` and `max_request_body_size` keep back, slotel keeps back: beside sentry-sdk's own readers."""

import asyncio
import json

import pytest
import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS
from sentry_sdk.integrations.starlette import StarletteRequestExtractor
from starlette.requests import Request

from slotel.runtime.sentry.errors.request import add_request
from slotel.runtime.upstream.frameworks.starlette import BODY

pytestmark = [
    pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an option of sentry-sdk 2"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CAN_COLLECT = "data_collection" in DEFAULT_OPTIONS
JSON = json.dumps({"amount": 3, "note": "x" * 2000}).encode()
WAYS = {
    "personal": {"send_default_pii": True},
    "not personal": {"send_default_pii": False},
    "no cookies": {"data_collection": {"cookies": {"mode": "off"}}},
    "some cookies": {"data_collection": {"cookies": {"mode": "allowlist", "terms": ["theme"]}}},
    "other cookies": {"data_collection": {"cookies": {"mode": "denylist", "terms": ["lang"]}}},
    "no bodies": {"data_collection": {"http_bodies": []}},
    "bodies": {"data_collection": {"http_bodies": ["incoming_request"]}},
    "small bodies": {"max_request_body_size": "small"},
}
WAYS = {
    name: options for name, options in WAYS.items() if CAN_COLLECT or "data_collection" not in options
}  # since 2.70


@pytest.mark.parametrize("body", ["json", "text"])
@pytest.mark.parametrize("way", WAYS)
def test_an_event_of_an_asgi_app_shows_what_sentry_sdk_shows(way, body):
    content, kind = (JSON, b"application/json") if body == "json" else (b"x" * 2000, b"text/plain")
    headers = [
        (b"cookie", b"theme=dark; lang=en; sessionid=s3cret"),
        (b"content-type", kind),
        (b"content-length", str(len(content)).encode()),
    ]
    scope = {
        "type": "http", "method": "POST", "path": "/", "query_string": b"", "scheme": "http",
        "server": ("testserver", 80), "headers": headers,
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    async def theirs():
        request = Request(dict(scope), receive)
        shown = await StarletteRequestExtractor(request).extract_request_info()
        return shown, await request.body()

    client = sentry_sdk.Client(
        "http://key@127.0.0.1:9/1", release="r", default_integrations=False, **WAYS[way]
    )
    with sentry_sdk.new_scope() as own:
        own.set_client(client)
        expected, read = asyncio.run(theirs())
        event = {}
        add_request(event, {**scope, BODY: read}, {})
    client.close()
    if way == "no bodies":  # sentry-sdk's integration leaves it out, not its reader
        del expected["data"]
    shown = {part: event["request"][part] for part in ("cookies", "data") if part in event["request"]}
    assert comparable(shown) == comparable(expected)


def comparable(shown):
    """sentry-sdk's marks of what is left out compare by what they say."""
    return {part: getattr(value, "metadata", value) for part, value in shown.items()}
