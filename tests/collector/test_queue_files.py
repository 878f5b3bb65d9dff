"""Broken queue files: queues.sh sets aside what the collector could not open, under both shells that run it, and no other."""

import os
import random
import shutil
import subprocess

import pytest

from support.launch import wait_until
from support.otelcol import CONFIGS, WITHOUT_POLICY, Collector
from support.otlp import OtlpSink, Sent, post, request

SHELLS = [command for command in (["dash"], ["busybox", "sh"], ["sh"]) if shutil.which(command[0])]
PAGE = os.sysconf("SC_PAGE_SIZE")


def both_metas(data):
    return random.Random(1).randbytes(2 * PAGE) + data[2 * PAGE :]


BROKEN = {
    "both meta pages": both_metas,
    "both checksums": lambda data: _changed(_changed(data, 16 + 60), PAGE + 16 + 60),
    "its end is missing": lambda data: data[: 3 * PAGE],
    "no queue at all": lambda data: b"not a database" * 1000,
    "a few bytes": lambda data: data[:20],
}
SOUND = {
    "untouched": lambda data: data,
    "the first meta page": lambda data: bytes(PAGE) + data[PAGE:],
    "the second meta page": lambda data: data[:PAGE] + bytes(PAGE) + data[2 * PAGE :],
    "new": lambda data: b"",
}


def _changed(data, offset):
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


@pytest.fixture(scope="module")
def queue(otelcol, tmp_path_factory):
    """The bytes of a queue's file that holds 20 spans for a sink that is down."""
    state = tmp_path_factory.mktemp("queue") / "state"
    with OtlpSink() as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url}
        with Collector(otelcol, state, "otel-collector.yaml", WITHOUT_POLICY, env=env) as running:
            sink.down()
            assert post(running.otlp, request([Sent() for _ in range(20)])) == 200
            wait_until(
                lambda: running.metric("otelcol_exporter_queue_size", own=True) > 0, "the queue has it"
            )
    [file] = [path for path in state.iterdir() if path.name.startswith("exporter_otlp_http_sentry")]
    return file.name, file.read_bytes()


def run(shell, folder):
    return subprocess.run(
        [*shell, str(CONFIGS / "queues.sh"), str(folder)],
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    ).stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("change", [*BROKEN, *SOUND])
def test_what_is_broken_is_set_aside_and_named_and_what_is_sound_stays(queue, tmp_path, shell, change):
    name, data = queue
    (tmp_path / name).write_bytes({**BROKEN, **SOUND}[change](data))
    said = run(shell, tmp_path)
    backups = list(tmp_path.glob(f"{name}.*.backup"))
    assert (len(backups), (tmp_path / name).exists()) == ((1, False) if change in BROKEN else (0, True))
    assert (tmp_path / "set-aside").read_text() == f"{len(backups)} broken\n"
    assert (f"{name} is broken" in said) == (change in BROKEN)
    if backups:
        run(shell, tmp_path)
        assert list(tmp_path.glob("*.backup")) == backups, "a second run leaves the backup alone"


@pytest.mark.parametrize("change", ["both meta pages", "its end is missing", "the first meta page"])
def test_a_collector_starts_after_it_says_so_and_goes_on(otelcol, queue, tmp_path, change):
    name, data = queue
    state = tmp_path / "state"
    state.mkdir()
    (state / name).write_bytes({**BROKEN, **SOUND}[change](data))
    run(SHELLS[0], state)
    with OtlpSink() as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url, "OTELCOL_SET_ASIDE": str(state / "set-aside")}
        with Collector(otelcol, state, "otel-collector.yaml", WITHOUT_POLICY, env=env) as running:
            assert post(running.otlp, request([Sent(name="later")])) == 200
            kept = 20 if change in SOUND else 0
            wait_until(lambda: len(sink.spans) == kept + 1, f"{kept} spans of before and one of now")
            [(labels, _)] = running.samples("target_info", own=True)
            assert labels["slotel_queues_set_aside"].strip() == f"{int(change in BROKEN)} broken"


def test_without_it_a_collector_would_never_start_again(otelcol, queue, tmp_path):
    """The oracle: the day that this fails, queues.sh is not needed any more."""
    name, data = queue
    state = tmp_path / "state"
    state.mkdir()
    (state / name).write_bytes(both_metas(data))
    with pytest.raises(AssertionError, match="invalid database"):
        Collector(otelcol, state, "otel-collector.yaml", WITHOUT_POLICY)
