"""Captures the same exception some times, with plain sentry-sdk (`plain`) or with slotel; its variables are known."""

import json
import os
import sys

import sentry_sdk

if sys.argv[1] == "plain":
    sentry_sdk.init(os.environ["SENTRY_DSN"])


def fail(number):
    secretless = {"number": number, "text": "x" * 50}
    return json.loads("{" + str(secretless["number"]))  # a library's frames, too


def main(count):
    for number in range(count):
        try:
            try:
                fail(number)
            except ValueError as error:
                raise RuntimeError("outer") from error
        except RuntimeError:
            sentry_sdk.capture_exception()
    sentry_sdk.capture_message("no exception")


main(int(sys.argv[2]))
sentry_sdk.flush(30)
