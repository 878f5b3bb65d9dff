"""Views of the Django service of the tests: the message of each error names the span that it happened in."""

from django.http import Http404, HttpResponse
from django.urls import path
from opentelemetry import trace
from ways import WAYS


def here():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def healthz(request):
    return HttpResponse("ok")


def error(request, team):
    from slotel import set_custom_tags

    set_custom_tags(team=team)
    raise ValueError(here())


def plain(request):
    raise ValueError(here())


async def later(request, team):
    from slotel import set_custom_tags

    set_custom_tags(team=team)
    raise ValueError(here())


def way(request, name):
    WAYS[name]()


async def later_way(request, name):
    WAYS[name]()


def inner(request):
    with trace.get_tracer("shop").start_as_current_span("load"):
        raise ValueError(here())


def missing(request):
    raise Http404


urlpatterns = [
    path("healthz", healthz),
    path("error/<str:team>", error),
    path("plain", plain),
    path("later/<str:team>", later),
    path("inner", inner),
    path("way/<str:name>", way),
    path("later-way/<str:name>", later_way),
    path("missing", missing),
]
