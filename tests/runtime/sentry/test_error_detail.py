"""What an error event carries: the first of a kind everything that sentry-sdk sends, those of a storm less and say so."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import sentry_relay.processing
from sentry_relay.processing import StoreNormalizer

from slotel.runtime.sentry.errors.detail import (
    APP,
    APP_PER_MINUTE,
    FULL_PER_KIND,
    NONE,
    ErrorDetail,
    app_frames,
)
from slotel.runtime.sentry.transport.bounds import cut_long_values, encode_bounded
from slotel.runtime.sentry.transport.encode import MAX_BYTES
from slotel.runtime.sentry.transport.source_lines import SourceLines
from support.sentry_app import run_app


def captured(how, count, config=""):
    chosen = {"SLOTEL_CONFIG": config} if config else {}
    return run_app(how, "raising.py", how, str(count), SENTRY_RELEASE="r", **chosen).payloads("event")


@pytest.fixture(scope="module")
def events():
    return captured("slotel", FULL_PER_KIND + 3), captured("plain", FULL_PER_KIND + 3)


def exceptions(event):
    return event["exception"]["values"]


def without_addresses(value):
    return re.sub(r"0x[0-9a-f]+", "0x", json.dumps(value))


def test_the_first_event_of_a_kind_has_every_frame_line_and_variable_of_plain_sentry_sdk(events):
    slotel, plain = events
    assert without_addresses(exceptions(slotel[0])) == without_addresses(exceptions(plain[0]))
    assert slotel[0]["server_name"] == plain[0]["server_name"]
    frames = exceptions(slotel[0])[0]["stacktrace"]["frames"]
    assert any("json" in frame["module"] for frame in frames)
    assert all(frame["context_line"] and frame["vars"] for frame in frames)


def test_further_events_have_the_apps_variables_and_all_else_and_say_what_is_left_out(events):
    slotel, _ = events
    for event in slotel[:FULL_PER_KIND]:
        assert "data" not in exceptions(event)[-1]["mechanism"]

    def without_variables(event):
        frames = [frame for each in exceptions(event) for frame in each["stacktrace"]["frames"]]
        return [{key: value for key, value in frame.items() if key != "vars"} for frame in frames]

    for event in slotel[FULL_PER_KIND:-1]:
        assert without_variables(event) == without_variables(slotel[0])
        assert "local variables of library frames" in exceptions(event)[-1]["mechanism"]["data"]["left out"]
        frames = [frame for each in exceptions(event) for frame in each["stacktrace"]["frames"]]
        assert {frame["module"] for frame in frames if "vars" in frame} == {"__main__"}
    assert len(slotel) == FULL_PER_KIND + 4
    assert "left out" not in str(slotel[-1]), "the message is no exception"


def test_full_detail_leaves_nothing_out(tmp_path):
    (tmp_path / "slotel.yaml").write_text("version: 1\nsentry:\n  error_detail: full\n")
    for event in captured("slotel", FULL_PER_KIND + 2, str(tmp_path / "slotel.yaml"))[:-1]:
        assert all(frame["vars"] for each in exceptions(event) for frame in each["stacktrace"]["frames"])


def test_a_minute_with_many_errors_reads_no_variables_and_the_next_begins_anew():
    reasons, now = [], [0.0]
    detail = ErrorDetail("adaptive", reasons.append)
    detail.clock = lambda: now[0]
    levels = [
        detail.choose(type(f"Error{number}", (Exception,), {}), None, None)
        for number in range(APP_PER_MINUTE + 1)
    ]
    assert levels[:-1] == [None] * APP_PER_MINUTE, "each is the first of its kind"
    assert not levels[-1].wanted(SimpleNamespace(f_code=SimpleNamespace(co_filename=__file__)))
    assert reasons == [NONE]
    now[0] = 61.0
    assert [detail.choose(ValueError, None, None) for _ in range(FULL_PER_KIND)] == [None] * FULL_PER_KIND
    assert detail.choose(ValueError, None, None).wanted(sys._getframe())
    assert reasons == [NONE, APP]


def test_the_apps_frames_are_those_that_are_no_librarys():
    def frame(path):
        return SimpleNamespace(f_code=SimpleNamespace(co_filename=path))

    is_app = app_frames()
    assert is_app(frame("/srv/app/main.py"))
    assert is_app(frame("main.py"))
    assert not is_app(frame(subprocess.__file__))
    assert not is_app(frame("/usr/lib/python3/dist-packages/x.py"))
    assert not is_app(frame(pytest.__file__))
    assert not is_app(frame("<frozen importlib._bootstrap>"))


def test_the_cache_of_source_files_is_bounded_and_a_file_that_is_gone_costs_no_event(tmp_path, monkeypatch):
    monkeypatch.setattr("slotel.runtime.sentry.transport.source_lines.MAX_CACHED_LINES", 25)
    lines = SourceLines()
    for number in range(9):
        path = tmp_path / f"f{number}.py"
        path.write_text("".join(f"line {each}\n" for each in range(1, 11)))
        event = event_with({"abs_path": str(path), "lineno": 6, "context_line": None, "pre_context": []})
        lines.add_to(event)
        frame = event["exception"]["values"][0]["stacktrace"]["frames"][0]
        assert frame["pre_context"] == [f"line {each}" for each in range(1, 6)]
        assert frame["context_line"] == "line 6"
        assert frame["post_context"] == [f"line {each}" for each in range(7, 11)]
    assert len(lines._files) == 2
    gone = event_with({"abs_path": str(tmp_path / "gone.py"), "lineno": 6, "context_line": None})
    lines.add_to(gone)
    assert gone["exception"]["values"][0]["stacktrace"]["frames"][0]["context_line"] is None


def event_with(frame):
    return {"exception": {"values": [{"type": "E", "value": "v", "stacktrace": {"frames": [frame]}}]}}


def huge():
    long = "x" * 2_000_000
    frame = {"function": "f", "filename": "f.py", "lineno": 1, "vars": {"a": long, "b": [long]}}
    return {
        **event_with(frame),
        "message": long,
        "extra": {"a": long},
        "request": {"data": {"body": long}, "url": "http://h/"},
        "breadcrumbs": {"values": [{"message": long, "data": {"a": long}}] * 10},
        "contexts": {"mine": {"a": long}, "trace": {"trace_id": "1" * 32, "span_id": "2" * 16}},
        "tags": {"a": "b"},
    }


def normalized(event):
    result = StoreNormalizer(project_id=1, enable_trimming=True).normalize_event(dict(event))
    return {key: value for key, value in result.items() if key not in ("_meta", "received", "timestamp")}


def test_an_event_of_many_megabytes_fits_and_sentrys_server_keeps_of_it_what_it_would_have_kept():
    encoded = encode_bounded(huge())
    assert len(encoded) <= MAX_BYTES
    event = huge()
    cut_long_values(event)
    bounded, whole = normalized(event), normalized(huge())
    assert bounded.keys() == whole.keys()
    kept, original = bounded["exception"]["values"][0], whole["exception"]["values"][0]
    assert len(str(kept)) >= 0.95 * len(str(original))
    assert len(bounded["logentry"]["formatted"]) == len(whole["logentry"]["formatted"])
    assert sentry_relay.processing  # the oracle is the server's own code
