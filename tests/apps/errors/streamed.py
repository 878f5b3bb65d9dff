"""Uses the API of streamed spans, `sentry_sdk.traces`, as an app does that was written for it: plain or under slotel."""

import asyncio
import json
import os

import sentry_sdk
from sentry_sdk import traces

given = {} if sentry_sdk.VERSION.startswith("3") else {"trace_lifecycle": "stream"}
try:
    sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0, **given)
except TypeError:  # an older release
    sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0, _experiments=given)
found = {}
get_current_span = getattr(traces, "get_current_span", sentry_sdk.get_current_span)


@traces.trace
def traced():
    with traces.start_span("query", {"sentry.op": "db.query", "rows": 3}) as span:
        span.set_attribute("shard", "a")
        found["current"] = get_current_span() is span
    return "traced"


@traces.trace(name="awaited by name", attributes={"sentry.op": "task"})
async def awaited():
    traces.start_span("without with").end()
    return "awaited"


with traces.start_span("nightly", {"sentry.op": "job", "sentry.segment.name.source": "task"}) as root:
    found["results"] = [traced(), asyncio.run(awaited())]
    found["one trace"] = sentry_sdk.get_traceparent().split("-")[0] == root.trace_id
    open_span = traces.start_span("current without with")
    with traces.start_span("below it"):
        pass
    open_span.end()
    open_span.end()
    inactive = traces.start_span("inactive", active=False)
    with traces.start_span("beside it"):
        pass
    with traces.start_span("given", parent_span=inactive):
        pass
    inactive.end()
    try:
        with traces.start_span("fails") as failing:
            raise ValueError("inside a span")
    except ValueError:
        sentry_sdk.capture_exception()
    found["statuses"] = [root.status, failing.status]
    with traces.start_span("on its own", parent_span=None):
        pass
    root.name = "renamed"
    found["attributes"] = root.get_attributes()["sentry.op"]

traces.continue_trace({"sentry-trace": f"{'a' * 32}-{'b' * 16}-1", "baggage": f"sentry-trace_id={'a' * 32}"})
with traces.start_span("continued") as continued:
    found["continues"] = continued.trace_id == "a" * 32
traces.new_trace()
with traces.start_span("anew") as anew:
    found["anew"] = anew.trace_id != "a" * 32
found["none"] = get_current_span() is None
sentry_sdk.capture_message("later")
sentry_sdk.flush(60)
print(json.dumps(found))
