"""Says an odd value in every place where an app may say something: one job, error, message and log record for each."""

import contextlib
import logging
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal

import sentry_sdk
from opentelemetry import trace


class NoText:
    def __repr__(self):
        raise ValueError("no text")

    __str__ = __repr__


class NoMapping(Mapping):
    def __getitem__(self, key):
        raise KeyError(key)

    def __iter__(self):
        raise RuntimeError("changed size during iteration")

    def __len__(self):
        return 3


class OddText(str):
    __slots__ = ()

    def __str__(self):
        raise ValueError("no text")


class OddNumber(int):
    def __repr__(self):
        raise ValueError("no text")

    __str__ = __repr__


def circle():
    found = {"name": "circle"}
    found["a"] = found["b"] = found["c"] = [found, found]
    return found


def deep():
    found = {}
    for _ in range(2000):
        found = {"a": found}
    return found


VALUES = {
    "large int": 2**64,
    "negative int": -(2**63) - 1,
    "huge int": 10**5000,
    "nan": float("nan"),
    "infinity": float("-inf"),
    "surrogate": "a\ud800b",
    "nul": "a\x00b",
    "bytes": b"\xff\x00",
    "memory": memoryview(b"abc"),
    "no text": NoText(),
    "odd text": OddText("x"),
    "odd number": OddNumber(7),
    "no mapping": NoMapping(),
    "circle": circle(),
    "deep": deep(),
    "keys": {1: "a", None: "b", (2, 3): "c", NoText(): "d", b"x": "e", float("nan"): "f", "\ud800": "g"},
    "long": "x" * 400_000,
    "wide": {str(number): number for number in range(3000)},
    "set": {1, "a"},
    "date": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "decimal": Decimal("NaN"),
    "class": NoText,
    "generator": (each for each in range(3)),
}


def say(name, value):
    sentry_sdk.set_tag("odd", value)
    sentry_sdk.set_extra("odd", value)
    sentry_sdk.set_context("odd", {"value": value})
    sentry_sdk.set_context("odder", value)
    sentry_sdk.set_user({"id": value, "name": name})
    sentry_sdk.add_breadcrumb(message=name, data={"odd": value})


def main():
    tracer = trace.get_tracer("odd")
    log = logging.getLogger("odd")
    log.addHandler(logging.NullHandler())
    for name, value in VALUES.items():
        text = value if isinstance(value, str) else name
        with tracer.start_as_current_span(f"job {text[:5000]}", kind=trace.SpanKind.CONSUMER) as span:
            say(name, value)
            with contextlib.suppress(Exception):  # OpenTelemetry raises where an object has no text
                span.set_attribute("odd", value)
            with contextlib.suppress(Exception):
                span.set_attribute("odds", [value, "a"])
            with contextlib.suppress(Exception):
                span.add_event(f"said {text[:5000]}", {"odd": value})
            log.warning("logged %s", name, extra={"odd": value})
            try:
                odd = value
                raise RuntimeError(name, odd)
            except RuntimeError as error:
                sentry_sdk.capture_exception(error)
            sentry_sdk.capture_message(f"message {name}")


main()
sentry_sdk.flush(60)
print("done", file=sys.stderr)
