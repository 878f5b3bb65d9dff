"""A server span is named by method and full route, never by a path; the application's root stands before both."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from slotel.runtime.requests.span_name import RootedAttributes, better_name, name_by_route, place_under

TRACER = TracerProvider().get_tracer("test")


def started(name, **attributes):
    given = {key.replace("__", "."): value for key, value in attributes.items()}
    return TRACER.start_span(name, kind=SpanKind.SERVER, attributes=given)


BREW = {"http__request__method": "_OTHER", "http__request__method_original": "BREW"}


@pytest.mark.parametrize(
    ("name", "attributes", "better"),
    [
        ("GET /wp-login.php", {"url__path": "/wp-login.php", "http__request__method": "GET"}, "GET"),
        ("GET /ok", {"url__path": "/ok", "http__route": "/ok"}, None),
        ("GET checkout", {"url__path": "/ok"}, None),
        ("/socket", {"url__path": "/socket"}, "GET"),
        ("HTTP /socket", {"url__path": "/socket"}, "GET"),
        ("/socket/{name}", {"url__path": "/socket/a", "http__route": "/socket/{name}"}, "GET /socket/{name}"),
        (
            "HTTP /socket/{name}",
            {"url__path": "/socket/a", "http__route": "/socket/{name}"},
            "GET /socket/{name}",
        ),
        ("WS", {"url__scheme": "ws"}, "GET"),  # FastAPI 0.165
        ("HTTP /ok", {"url__path": "/ok", "http__route": "/ok", "http__request__method": "_OTHER"}, None),
        ("HTTP /ok", {"url__path": "/ok", "http__request__method": "_OTHER"}, "HTTP"),
        ("HTTP", {"url__path": "/ok", "http__request__method": "_OTHER"}, None),
        ("BREW", {"url__path": "/ok", **BREW}, "HTTP"),
        ("BREW /ok", {"url__path": "/ok", **BREW}, "HTTP"),
        ("BREW /ok", {"url__path": "/ok", "http__route": "/ok", **BREW}, "HTTP /ok"),
        ("brew tea", {"url__path": "/ok", **BREW}, None),
        ("/ok", {"url__path": "/ok", "http__route": "/ok", "http__request__method": "PUT"}, "PUT /ok"),
    ],
)
def test_a_path_is_no_name(name, attributes, better):
    assert better_name(started(name, **attributes)) == better


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("GET /item 1", {"url.path": "/item 1"}),
        ("GET /a /b", {"url.path": "/a /b"}),
        ("GET /a", {"url.path": "/a "}),
        ("GET /", {"url.path": "/ "}),
        ("GET //x y/z", {"url.path": "//x y/z"}),
        ("GET /a?b", {"url.path": "/a?b"}),
        ("GET /item 1", {"http.target": "/item%201?page=2"}),
        ("GET /\xc3\xbc", {"http.target": "/%C3%BC"}),
        ("GET /ü", {"http.target": "/%C3%BC"}),
        ("GET nowhere", {"url.path": "nowhere"}),
        ("GET no where/x", {"url.path": "/shop/no where/x"}),
        ("OPTIONS *", {"url.path": "*"}),
    ],
)
def test_a_path_that_is_written_in_another_way_is_no_name_either(name, known):
    tracer = TracerProvider().get_tracer("opentelemetry.instrumentation.some")
    span = tracer.start_span(name, kind=SpanKind.SERVER, attributes={"http.request.method": "GET", **known})
    assert better_name(span) == name.partition(" ")[0]


@pytest.mark.parametrize(
    ("attributes", "better"),
    [
        ({"rpc.system": "grpc", "rpc.method": "Greet"}, None),
        ({"rpc.system.name": "grpc"}, None),
        ({"http.request.method": "POST"}, "POST"),
    ],
)
def test_a_path_without_an_attribute_is_no_name_either_unless_it_is_that_of_an_rpc(attributes, better):
    tracer = TracerProvider().get_tracer("opentelemetry.instrumentation.some")
    span = tracer.start_span("/shop.Greeter/Greet", kind=SpanKind.SERVER, attributes=attributes)
    assert better_name(span) == better


@pytest.mark.parametrize(
    ("name", "route", "path", "expected"),
    [
        ("GET /ok", "/ok", "/ok", ("GET /api/ok", "/api/ok", "/api/ok")),
        ("GET items/<int:number>", "items/<int:number>", "/items/7",
         ("GET /api/items/<int:number>", "/api/items/<int:number>", "/api/items/7")),
        ("GET /api/ok", "/api/ok", "/api/ok", ("GET /api/ok", "/api/ok", "/api/ok")),
        ("checkout", "/ok", "/ok", ("checkout", "/api/ok", "/api/ok")),
        ("GET", "ok", "/api/ok", ("GET /api/ok", "/api/ok", "/api/ok")),
        ("GET /a b", "/a b", "/a b", ("GET /api/a b", "/api/a b", "/api/a b")),
        ("/socket", "/socket", "/socket", ("/api/socket", "/api/socket", "/api/socket")),
    ],
)  # fmt: skip
def test_the_application_root_stands_before_path_and_route_once(name, route, path, expected):
    span = started(name, http__route=route, url__path=path)
    place_under(span, "/api")
    assert (span.name, span.attributes["http.route"], span.attributes["url.path"]) == expected


def test_attributes_that_an_instrumentation_sets_again_have_the_root_too():
    attributes = RootedAttributes("/api", {"url.path": "/ok", "http.request.method": "GET"})
    attributes["http.route"] = "/ok"
    span = started("GET /ok", **{key.replace(".", "__"): value for key, value in attributes.items()})
    place_under(span, "/api")
    assert span.name == "GET /api/ok"
    for key, value in attributes.items():
        span.set_attribute(key, value)
    assert dict(span.attributes) == {
        "url.path": "/api/ok", "http.route": "/api/ok", "http.request.method": "GET",
    }  # fmt: skip


def test_a_mounted_application_gives_the_full_route_and_a_name_that_the_app_gave_stays():
    spans = [
        started("GET"),
        started("GET /sub", http__route="/sub"),
        started("checkout now"),
        started("checkout"),
    ]
    for span in spans:
        name_by_route(span, "/sub/ok")
    assert [span.name for span in spans] == ["GET /sub/ok", "GET /sub/ok", "checkout now", "checkout"]
    assert {span.attributes["http.route"] for span in spans} == {"/sub/ok"}
