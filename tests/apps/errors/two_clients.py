"""Captures by the client of `sentry_sdk.init`, by another of the app, and by both."""

import os

import sentry_sdk
from sentry_sdk.utils import event_from_exception

sentry_sdk.init(os.environ["SENTRY_DSN"])
beside = sentry_sdk.Client(os.environ["APP_DSN"], before_send=lambda event, hint: event)
by_hand = sentry_sdk.Client(os.environ["APP_DSN"])


def fail(text):
    raise ValueError(text)


def captured(text, capture):
    try:
        fail(text)
    except ValueError as error:
        capture(error)


def in_scope(error):
    with sentry_sdk.new_scope() as scope:
        scope.set_client(beside)
        sentry_sdk.capture_exception(error)
        sentry_sdk.capture_exception(error)


def by_both(error):
    sentry_sdk.capture_exception(error)
    in_scope(error)
    sentry_sdk.capture_exception(error)


def by_itself(error):
    event, hint = event_from_exception(error)
    by_hand.capture_event(event, hint)


captured("by both", by_both)
captured("beside alone", in_scope)
captured("by itself", by_itself)
with sentry_sdk.isolation_scope() as scope:
    scope.set_client(beside)
    sentry_sdk.capture_message("postgresql://shop:hunter2@db/shop")
beside.close(timeout=30)
by_hand.close(timeout=30)
sentry_sdk.flush(30)
