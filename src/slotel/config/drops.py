"""The values of `reason` of `slotel_dropped_total`, with their fixes. The reference is generated from it."""

from typing import Final, NamedTuple

_STATUS: Final = "status_"


class Drop(NamedTuple):
    """Why telemetry was lost.

    Args:
        what: what happened; a log line says it after the reason.
        fix: what helps.
        is_wanted: the app or its configuration asked for it: counted, and logged only at DEBUG.
    """

    what: str
    fix: str
    is_wanted: bool = False


_REPORT: Final = "Please report it, with the line that `SLOTEL_DEBUG=1` adds."
_FILE: Final = (
    "Only slotel should write to the runtime directory; it is removed with the last process of the service."
)

DROPS: Final[dict[str, Drop]] = {
    # on the way to Sentry
    "exit": Drop(
        "the process ended before they were sent",
        "Raise `shutdown_timeout` of `sentry_sdk.init`, and the grace period of the server or orchestrator.",
    ),
    "killed": Drop(
        "a process was killed, or ended by `os._exit`, before they were sent",
        "Find out why workers are killed: a memory limit, a timeout of the server. Their requests are counted.",
    ),
    "shutdown": Drop(
        "they ended after slotel was shut down", "End requests before the SDK's providers are shut down."
    ),
    "queue_full": Drop(
        "Sentry was away, or slower than this process, until the queue was full",
        "See the line about Sentry before it. The queue holds 5,000 envelopes or 8 MiB.",
    ),
    "rate_limited": Drop(
        "Sentry asked for a pause: a quota or a rate limit",
        "Sample fewer transactions (`sentry.traces_sample_rate`, `sentry.sample`), or raise the quota.",
    ),
    "too_large": Drop(
        "larger than Sentry accepts, also when shortened",
        "Send less in contexts, extra and attachments, or raise the body limit of the proxy before Sentry.",
    ),
    "timeout": Drop("Sentry did not answer, three times", "Check the network between the service and Sentry."),
    "network": Drop(
        "the connection to Sentry broke after they were sent, three times",
        "Check proxies and load balancers between the service and Sentry.",
    ),
    "server_error": Drop("Sentry answered with an error of its own, three times", "See Sentry's status."),
    "transport_error": Drop(
        "the transport that the app gives `sentry_sdk.init` raised",
        "Fix the transport; a debug line has the exception.",
    ),
    "export_error": Drop("the exporter could not deliver them", "See the exporter's line before it."),
    "overloaded": Drop(
        "spans ended faster than transactions could be built: 50,000 were held",
        "Sample fewer transactions (`sentry.traces_sample_rate`). Metrics are not affected.",
    ),
    "keep_rate_limited": Drop(
        "more failed or slow requests than `sentry.keep` may add to the sample",
        "Nothing: the sample has them in proportion, and metrics have all. `sentry.keep` sets the limit.",
        is_wanted=True,
    ),
    "forgotten": Drop(
        "spans whose request did not end, while too many others began",
        "Look for spans that the app starts and never ends.",
    ),
    "never_ended": Drop(
        "more than 50,000 spans were started and not ended; the oldest are no longer followed",
        "Look for spans that the app starts and never ends.",
    ),
    "build_error": Drop("they could not be written as Sentry's format", _REPORT),
    "unreadable": Drop(
        "the app's function raised, or its file is gone", "Fix it; `SLOTEL_DEBUG=1` adds a line with the exception."
    ),
    "send_error": Drop("they could not be sent", _REPORT),
    "worker_error": Drop("transactions could not be built", _REPORT),
    "internal_sdk_error": Drop("sentry-sdk could not handle them", "`debug=True` of `sentry_sdk.init` says why."),
    "before_send_error": Drop("the app's `before_send_transaction` raised", "See the line before it."),
    "callback_error": Drop(
        "the app's `before_send`, or another function that it gave to sentry-sdk, raised",
        "Fix it; its exception is logged by sentry-sdk with `debug=True`.",
    ),
    "buffer_overflow": Drop("sentry-sdk's buffer of logs or metrics was full", "Send fewer of them."),
    "insufficient_data": Drop(
        "profiles with too few samples", "Nothing: such a request is too short.", is_wanted=True
    ),
    "ratelimit_backoff": Drop(
        "Sentry asked for a pause: a quota or a rate limit (said by the app's own transport)", "Raise the quota."
    ),
    "network_error": Drop(
        "the app's own transport could not send them", "Check the network between the service and Sentry."
    ),
    "queue_overflow": Drop("sentry-sdk's queue was full", "See the lines about Sentry before it."),
    # asked for
    "before_send": Drop("the app's `before_send` returned None", "Nothing: the app asked for it.", is_wanted=True),
    "event_processor": Drop(
        "an event processor of the app returned None", "Nothing: the app asked for it.", is_wanted=True
    ),
    "sample_rate": Drop("`sample_rate` or `error_sampler`", "Nothing: the app asked for it.", is_wanted=True),
    "ignored": Drop("`ignore_spans`", "Nothing: the app asked for it.", is_wanted=True),
    "ignored_status": Drop("`trace_ignore_status_codes`", "Nothing: the app asked for it.", is_wanted=True),
    "library_variables": Drop(
        "events of a kind that repeats, without local variables of libraries; each event says so",
        "`sentry.error_detail: full`, for all variables always.",
        is_wanted=True,
    ),
    "variables": Drop(
        "events in a storm of errors, without local variables; each event says so",
        "`sentry.error_detail: full`, for all variables always.",
        is_wanted=True,
    ),
    # metrics
    "name_collision": Drop(
        "two metrics have the same name; only the first one is served", "Rename one of the app's instruments."
    ),
    "not_representable": Drop(
        "an instrument of the app has no form in Prometheus' exposition", "Rename the instrument, or its attributes."
    ),
    "collector_failed": Drop(
        "a collector of the app's prometheus_client registry raised", "Fix the collector; the others answer."
    ),
    "run_directory": Drop(
        "a worker cannot share its counts", "See the line before it: make room, or set XDG_RUNTIME_DIR."
    ),
    "disk_full": Drop(
        "no room for a new series in the runtime directory: it counts in the overflow series",
        "Make room, or set XDG_RUNTIME_DIR.",
    ),
    "taken_for_dead": Drop(
        "a running worker was taken for dead by one that cannot see it: what it counted in seconds is missing",
        "Give each container a runtime directory of its own.",
    ),
    "other_shape": Drop(
        "workers disagree on a metric's labels or buckets", "Restart all workers: two versions run side by side."
    ),
    "other_service": Drop(
        "a file of another service lies in the runtime directory",
        "Do not set SLOTEL_RUN_DIR by hand; each service has its own.",
    ),
    "other_version": Drop(
        "a file in the runtime directory is of another version of slotel",
        "Restart all workers: two versions run side by side.",
    ),
    "foreign_file": Drop("a file in the runtime directory is not slotel's", _FILE),
    "unreadable_file": Drop("a file in the runtime directory cannot be read", _FILE),
    "corrupt_file": Drop("a file in the runtime directory is damaged", _FILE),
    "truncated_file": Drop("a file in the runtime directory is shorter than it says", _FILE),
}  # fmt: skip


def drop(reason: str) -> Drop:
    """Return the meaning of a reason, also of one that only sentry-sdk knows."""
    if reason.startswith(_STATUS):
        return Drop(
            f"Sentry refused them with HTTP status {reason.removeprefix(_STATUS)}",
            "401 and 403: check the key in SENTRY_DSN.",
        )
    return DROPS.get(reason, Drop("a reason of sentry-sdk", "See the documentation of sentry-sdk."))
