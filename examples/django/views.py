"""The views of a shop. Their only telemetry code sets a tag."""

from django.http import Http404, HttpResponse, JsonResponse

import slotel

PRICES = {1: 9.99, 2: 19.99}


def healthz(request):
    return HttpResponse("ok")


def item(request, number):
    slotel.set_custom_tags(team="catalogue")
    if number not in PRICES:
        raise Http404("no such item")
    return JsonResponse({"item": number, "price": PRICES[number]})


def fail(request):
    raise RuntimeError("the payment provider is down")
