"""With PLAIN=1 the application sets up sentry-sdk itself, as it would without slotel: the oracle of its events."""

import os

if os.environ.get("PLAIN"):
    import sentry_sdk

    sentry_sdk.init(os.environ["PLAIN_DSN"], traces_sample_rate=0)


class QuotaError(Exception):
    """An exception that has a status, and is no answer."""

    status_code = 429
    status = 429
