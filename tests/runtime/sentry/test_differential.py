"""The same app under plain sentry-sdk and under slotel: every field of every event and transaction is compared.

What differs stands in `DIFFERENCES` with its reason; `docs/sentry-parity.md` shows that table.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
import sentry_sdk

from runtime.sentry.test_errors_like_plain import interpreter_with
from support.redis_server import redis_server
from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 streams spans")

FRAMEWORKS = (
    "flask", "flask_late", "django", "django_streams", "fastapi", "background", "mounted", "mounted_routes", "lifespan", "celery", "script",
)  # fmt: skip
WITH_THEIR_INTEGRATION = ("bottle", "tornado", "quart", "rq")
"""Whose requests and jobs sentry-sdk's own integration knows: one of WSGI, of ASGI, of its own server, of jobs."""
MORE_OF_THEM = ("falcon", "litestar", "aiohttp", "starlette", "huey", "dramatiq", "arq")
JOBS = ("rq", "huey", "dramatiq", "arq")
WORDS = ("fails", "says", "logs", "is_late", "threads", "streams", "ends", "catches", "refuses", "nowhere")
"""In the names of transactions."""
USERS = {"login": "flask_login", "auth": "rest_framework", "rest": "rest_framework"}
"""Scenes in which a framework knows who asks → what must be installed."""
AFTER = "BackgroundTask "
"""In the names of transactions of what OpenTelemetry's instrumentation of FastAPI sees after the answer, by itself."""
NEEDS = {
    **USERS, "socket": "websockets", "canvas": "redis", **{each: each for each in (*WITH_THEIR_INTEGRATION, *MORE_OF_THEM)},
}  # fmt: skip
WHOLE = ("flask", "django", "fastapi", "celery", "script")
"""Run under plain sentry-sdk with all that is installed, as a user's is; the others with what they use: half of a start."""
USES = {
    "canvas": ("celery", "redis"),
    **{each: (each,) for each in (*WITH_THEIR_INTEGRATION, *MORE_OF_THEM)},
    **{each: (each, "redis") for each in JOBS},
    **dict.fromkeys(("flask_late", "flask_left_behind", "login"), ("flask",)),
    **dict.fromkeys(("django_streams", "django_escapes", "auth", "rest"), ("django",)),
    **dict.fromkeys(("background", "mounted", "mounted_routes", "lifespan", "socket"), ("fastapi",)),
}  # fmt: skip

DIFFERENCES = {
    r"\.transaction(_info\.source)?": ("flask", "the name is OpenTelemetry's: method and route, or the span's name"),
    r"\.contexts\.trace\.origin": ("flask", "the span is OpenTelemetry's"),
    r"\.contexts\.trace\.op": ("celery", "an error belongs to the innermost span; op by OpenTelemetry's conventions"),
    r"event\.contexts\.trace\.description": (
        "django", "slotel has the transaction's name for it; plain sentry-sdk has a further span",
    ),
    r"event\.contexts\.trace\.(status|data\.http\.response\.status_code)": (
        "fastapi", "an error event is made before its span ends",
    ),
    r"\.contexts\.trace\.data\.thread\.name": (
        "mounted", "plain sentry-sdk names the thread of a synchronous view, or of its request",
    ),
    r"transaction\.tags\.asgi\.type": ("fastapi", "it is in `contexts.trace.data`"),
    r"\.tags\.(celery_task_id|status)": ("celery", "each run has its own; plain sentry-sdk tags a failed job `ok`"),
    r"transaction\._meta\..*": ("flask", "remarks of sentry-sdk's scrubber; slotel's redaction writes none"),
    r"transaction\.sdk\.name": ("flask", "slotel names itself as the SDK of its transactions"),
    r"transaction\.spans.*": ("django", "OpenTelemetry's instrumentations make them"),
    r"\.trace\.(transaction|sample_rate|sample_rand)": (
        "flask", "the head's name and decision, which OpenTelemetry's sampler made",
    ),
    r"event\.trace\.sampled": ("huey", "plain sentry-sdk adds its decision to what the sender of a job sent along"),
}  # fmt: skip
"""Pattern of a field, or of a kind and a field → a scene that shows it, and why it may differ."""

MORE = {
    r"\.contexts\.trace\.data\..*": ("flask", "all attributes of the span"),
    r"transaction\.contexts\.(otel|response)\..*": (
        "flask", "resource and attributes, as SentrySpanProcessor has them",
    ),
    r"transaction\.contexts\.trace\.status": (
        "socket", "a websocket that was closed in order, and a job of RQ that succeeded, is `ok`",
    ),
    r"transaction\.trace\.sampled": ("dramatiq", "the decision, where the sender of a job had made none"),
    r"\.request\.cookies\..*": ("socket", "those of a websocket, if sentry-sdk's options allow cookies"),
    r"\.tags\.service": ("flask", "the service can be searched for"),
    r"transaction\.tags\.(status|http\.status_code)": ("flask", "the status can be searched for"),
}  # fmt: skip
"""The same for what slotel sends and plain sentry-sdk does not."""

LATE = {
    ("streams", ".trace.sampled"),
    ("streams", ".contexts.trace.status"),  # the answer broke, which its status did not say: decision 550
    ("ends", ".request.data.amount"),  # Flask has let go of its request
    ("ends", ".request.data.note"),
    ("ends", ".contexts.response.status_code"),  # the client gets a 500: the server had sent nothing
    ("ends", ".contexts.trace.data.http.response.status_code"),
    ("ends", ".tags.http.status_code"),
}
"""What differs besides in events of Flask without its context. What was said while an answer went on is in its transaction."""

_VOLATILE = re.compile(
    r"(event_id|trace_id|span_id|timestamp|sent_at|server_port|\.modules\.|sys\.argv|\.vars\.|SERVER_PORT"
    r"|_(job|task|message)_id$|\.(job_id|message_id|enqueued_at|started_at|asctime)$|_sentry_headers\."
    r"|sec-websocket-key|\.integrations|\.packages|\.sdk\.version|CONTENT_LENGTH|\.thread\.id|\.stacktrace\.frames)",
)
"""Fields that differ from run to run; frames are compared by themselves."""


@cache
def run(how, framework, *words, **variables):
    """Return each event and transaction by its kind and what it speaks of."""
    return {(kind, key(payload)): payload for kind, payload in run_each(how, framework, *words, **variables)}


def run_each(how, framework, *words, **variables):
    ran = run_app(
        how, "differential.py", how, framework, *words,
        uses=USES.get(framework, ()), launcher=[] if how == "plain" and framework in WHOLE else None,
        python=interpreter_with(NEEDS.get(framework, "flask")),
        SENTRY_TRACES_SAMPLE_RATE="1", OTEL_SERVICE_NAME="shop", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="urllib", **variables,
    )  # fmt: skip
    return [
        (header["type"], {**payload, "trace": envelope.header.get("trace") or {}})
        for envelope in ran.envelopes
        for header, payload in envelope.items
        if header["type"] in ("event", "transaction")
    ]


def key(event):
    exceptions = (event.get("exception") or {}).get("values")
    if exceptions:
        return exceptions[-1]["value"]
    if event.get("type") == "transaction":
        name = event["transaction"] or ""
        if name.startswith(AFTER):
            return name
        return next(
            (word for word in WORDS if word in name or word in event.get("request", {}).get("url", "")), "job"
        )
    return (event.get("logentry") or {}).get("message") or event.get("message")


def flat(value, path=""):
    if isinstance(value, dict):
        for name, item in value.items():
            yield from flat(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from flat(item, f"{path}[{number}]")
    else:
        yield path, value


def comparable(path, value):
    """A log line of a server, as a breadcrumb, names its port and process; Dramatiq's message has ids."""
    if isinstance(value, str) and value.startswith("<MessageProxy"):
        return "<MessageProxy"
    if not isinstance(value, str):
        return value
    return re.sub(r"\d+" if "breadcrumbs" in path else r"(?<=127\.0\.0\.1:)\d+", "0", value)


def app_frames(event):
    return [
        {
            name: frame.get(name)
            for name in ("function", "lineno", "context_line", "pre_context", "post_context")
        }
        for exception in (event.get("exception") or {}).get("values") or ()
        for frame in (exception.get("stacktrace") or {}).get("frames") or ()
        if frame.get("filename") == "differential.py" and frame["function"] in ("fails", "says", "logs")
    ]


@pytest.mark.parametrize(
    "framework",
    [
        *FRAMEWORKS, *USERS, "socket", *WITH_THEIR_INTEGRATION,
        *(pytest.param(each, marks=pytest.mark.long) for each in MORE_OF_THEM),
    ],
)  # fmt: skip
def test_every_field_is_the_same_or_its_difference_is_known(framework):
    compare(framework)


def test_what_leaves_djangos_handler_is_reported_with_its_request_as_under_plain_sentry_sdk():
    """Django's middleware reports it once for each layer, of which OpenTelemetry's instrumentation adds one."""
    with ThreadPoolExecutor() as both:
        plain, slotel = (
            {
                (
                    payload["exception"]["values"][-1]["mechanism"]["type"],
                    *(str(payload["request"].get(part)) for part in ("method", "query_string", "data")),
                    str(payload["user"]),
                    payload["tags"]["mine"],
                )
                for kind, payload in sent
                if kind == "event"
            }
            for sent in both.map(lambda how: run_each(how, "django_escapes"), ("plain", "slotel"))
        )
    assert {mechanism for mechanism, *_ in plain} == {"django", "wsgi"}
    assert slotel == plain


def test_what_the_server_logs_of_an_error_is_no_second_event_where_a_request_left_its_span_in_the_thread():
    with ThreadPoolExecutor() as both:
        plain, slotel = (
            [key(payload) for kind, payload in sent if kind == "event"]
            for sent in both.map(lambda how: run_each(how, "flask_left_behind"), ("plain", "slotel"))
        )
    assert slotel == plain == ["ends", "streams", "streams"]


def test_a_job_whose_personal_data_stay_says_so_as_under_plain_sentry_sdk():
    compare("celery", "private")


def compare(framework, *words):
    if interpreter_with(NEEDS.get(framework, "flask")) is None:
        pytest.skip(f"{NEEDS[framework]} is not installed: make apps")
    with redis_server() if framework in JOBS else nullcontext() as broker, ThreadPoolExecutor() as both:
        brokers = [
            {"BROKER": f"redis://127.0.0.1:{broker}/{number}"} if broker else {} for number in range(2)
        ]
        plain, slotel = both.map(
            lambda how, broker: run(how, framework, *words, **broker), ("plain", "slotel"), brokers
        )
    if framework == "litestar":  # of a request that matches no route plain sentry-sdk sends none
        del slotel["transaction", "nowhere"]
    assert {which for which in slotel if not which[1].startswith(AFTER)} == plain.keys()
    unknown, seen = {}, set()
    for which, theirs in plain.items():
        ours = slotel[which]
        if framework == "rq" and "breadcrumbs" in ours:  # plain sentry-sdk has those of earlier jobs, too
            number = len(ours["breadcrumbs"]["values"])
            theirs["breadcrumbs"]["values"] = theirs["breadcrumbs"]["values"][-number:]
        assert app_frames(ours) == app_frames(theirs)
        if framework in USERS:
            known = {"id": "42", "username": "kate", "email": "kate@example.org"}
            assert {name: theirs["user"].get(name) for name in known} == known, which
            assert theirs["request"]["data"] == {"amount": 3, "note": "tea"}, which
        one, other = dict(flat(theirs)), dict(flat(ours))
        after = dict(flat(slotel.get((which[0], AFTER + which[1]), {})))
        for path in one.keys() | other.keys():
            if comparable(path, one.get(path)) == comparable(path, other.get(path)) or _VOLATILE.search(path):
                continue
            known = [*DIFFERENCES, *(MORE if one.get(path) is None else ())]
            is_said_late = which == ("transaction", "streams") and one.get(path) is None
            if path in after and after[path] == one.get(path):
                continue  # said after the answer
            if path == ".sdk.name" and framework not in WHOLE:
                continue  # it names the first library that is patched of all that are there
            if framework == "flask_late" and ((which[1], path) in LATE or is_said_late):
                seen.add((which[1], path))
                continue
            found = {each for each in known for text in (path, which[0] + path) if re.fullmatch(each, text)}
            seen |= found
            if not found:
                unknown[which, path] = one.get(path), other.get(path)
    assert unknown == {}
    shown = {each for each, (scene, _) in {**DIFFERENCES, **MORE}.items() if scene == framework}
    shown |= LATE if framework == "flask_late" else set()
    assert shown - seen == set(), "no such difference is left"


def sent_by_canvas(how, broker):
    """Each transaction with whose span it was sent by, and each event; the number of traces."""
    transactions, events = [], []
    for kind, payload in run_each(how, "canvas", apart={"BROKER": broker}):
        (transactions if kind == "transaction" else events).append(payload)
    named = {}
    for each in transactions:
        for span in (each["contexts"]["trace"], *each["spans"]):
            is_sending = str(span["op"]).startswith(("queue.publish", "queue.submit"))
            named[span["span_id"]] = name_of_task(each), is_sending
    tasks = [
        (
            name_of_task(each),
            named.get(each["contexts"]["trace"].get("parent_span_id")),
            each["contexts"]["trace"].get("status"),
            each["tags"].get("mine"),
        )
        for each in transactions
    ]
    said = [
        (
            name_of_task(each), re.sub("[0-9a-f-]{36}", "", str(each.get("message") or each["exception"]["values"][-1]["value"])),
            each["level"], each.get("logger"),
        )
        for each in events
    ]  # fmt: skip
    traces = {each["contexts"]["trace"]["trace_id"] for each in (*transactions, *events)}
    return sorted(tasks, key=str), sorted(said, key=str), len(traces)


def name_of_task(payload):
    return payload["transaction"].removeprefix("run/")


def test_the_tasks_of_a_chain_a_group_and_a_chord_are_one_trace_as_under_plain_sentry_sdk():
    if interpreter_with("redis") is None:
        pytest.skip("redis is not installed: make apps")
    with redis_server() as port:
        plain, slotel = (
            sent_by_canvas(how, f"redis://127.0.0.1:{port}/{number}")
            for number, how in enumerate(("plain", "slotel"))
        )
    assert (len(plain[0]), len(plain[1]), plain[2]) == (13, 4, 1)
    assert slotel == plain


@pytest.mark.parametrize(
    "framework", ["flask", "django", pytest.param("fastapi", marks=pytest.mark.long), "celery"]
)
def test_native_names_are_those_of_plain_sentry_sdk(framework, tmp_path):
    """FastAPI's is asked for in `test_names.py` too, each time."""
    config = tmp_path / "slotel.yaml"
    config.write_text("version: 1\nsentry:\n  transaction_names: native\n")
    with ThreadPoolExecutor() as both:
        plain = both.submit(run, "plain", framework)
        slotel = both.submit(run, "slotel", framework, SLOTEL_CONFIG=str(config)).result()
        for which, theirs in plain.result().items():
            ours = slotel[which]
            assert ours["transaction"] == theirs["transaction"], which
            assert ours["transaction_info"]["source"] == theirs["transaction_info"]["source"], which


def test_the_table_of_differences_is_the_one_of_the_documentation():
    text = (Path(__file__).parents[3] / "docs" / "sentry-parity.md").read_text()
    missing = [
        field
        for field, (_, reason) in {**DIFFERENCES, **MORE}.items()
        if f"| `{field}` | {reason} |" not in text.replace("\\|", "|")
    ]
    assert not missing, json.dumps(missing)
