"""Whatever plain sentry-sdk reports arrives with slotel, too, once: the same app runs under both."""

import importlib.util
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from sentry_sdk import integrations

from slotel.runtime.sentry.errors.integrations import ONLY_TRACING, REPLACED, is_superseded, library_of
from slotel.runtime.upstream.sentry.integrations import auto_enabling_integrations, superseding_integrations
from support.sentry_app import run_app

SCENES = {
    "falcon": "falcon",
    "celery": "celery",
    "loguru": "loguru",
    "tornado": "tornado",
    "aiohttp": "aiohttp",
    "bottle": "bottle",
    "starlette_middleware": "starlette",
    "starlette_mounted": "starlette",
    "starlette_status_below_500": "starlette",
    "starlette_codes": "starlette",
    "fastapi": "fastapi",
    "flask": "flask",
    "django": "django",
    "script": "sys",
}
"""Scene → what it needs."""
ALONE = ("starlette_codes", "script")
"""They have options of their own, or look at what no request is around."""
BREACH = "error budget breached"
"""What slotel says of that many errors."""
TOGETHER = tuple(scene for scene in SCENES if scene not in ALONE)

APPS_BIN = Path(__file__).parents[3] / ".venv-apps" / "bin"
"""What `make apps` installs: frameworks that the tests' own environment has not."""


@cache
def interpreter_with(module):
    """Return the interpreter of an environment that has the module; None if there is none."""
    if importlib.util.find_spec(module) is not None:
        return Path(sys.executable)
    packages = map(str, APPS_BIN.parent.glob("lib/python3*/site-packages"))
    return APPS_BIN / "python" if PathFinder.find_spec(module, [*packages]) is not None else None


def interpreter_of(scenes):
    """The interpreter that has what all of them need; None if there is none."""
    pythons = {interpreter_with(SCENES[scene]) for scene in scenes}
    if None in pythons:
        return None
    return pythons.pop() if len(pythons) == 1 else APPS_BIN / "python"


@cache
def reported(scenes, how, **variables):
    python = interpreter_of(scenes)
    uses = [SCENES[scene] for scene in scenes]
    ran = run_app(
        how, "scenes.py", how, *scenes, uses=uses, python=python, SENTRY_TRACES_SAMPLE_RATE="1", **variables
    )
    events = [event for event in ran.payloads("event") if not said(event)[1].startswith(BREACH)]
    roots = {
        event["contexts"]["trace"]["trace_id"]: event["transaction"] for event in ran.payloads("transaction")
    }
    return events, roots


def said(event):
    exceptions = (event.get("exception") or {}).get("values") or ()
    if exceptions:
        return exceptions[-1]["type"], exceptions[-1]["value"]
    message = (event.get("logentry") or {}).get("message") or event.get("message")
    return "message", message.rpartition(" - ")[2]  # loguru puts the time before it


@pytest.mark.parametrize(
    "scenes",
    [
        TOGETHER,
        *((scene,) for scene in ALONE),
        *(pytest.param((scene,), marks=pytest.mark.long) for scene in TOGETHER),
    ],
    ids=" ".join,
)
def test_the_same_exceptions_are_reported_once_and_linked_to_their_request(scenes):
    """Of most scenes one after another in a process; `make long` has each in one of its own, too."""
    if interpreter_of(scenes) is None:
        pytest.skip(f"{', '.join(scenes)}: not all are installed: make apps")
    with ThreadPoolExecutor() as pool:
        (plain, _), (slotel, roots) = pool.map(reported, (scenes, scenes), ("plain", "slotel"))
    assert Counter(map(said, slotel)) == Counter(map(said, plain))
    assert len(plain) >= len(scenes), "each scene has errors"
    assert {event["contexts"]["trace"]["trace_id"] for event in slotel} <= roots.keys()


def test_fastapis_errors_are_reported_without_its_instrumentation():
    plain, _ = reported(("fastapi",), "plain")
    slotel, _ = reported(
        ("fastapi",), "slotel", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="fastapi,starlette,asgi"
    )
    assert Counter(map(said, slotel)) == Counter(map(said, plain))


def test_every_integration_that_sentry_sdk_enables_by_itself_is_replaced_only_traces_or_waits_for_its_library():
    listed = auto_enabling_integrations()
    assert len(listed) > 20
    names = {path.split(".")[2] for path in listed}
    assert set(REPLACED) <= names
    for path in listed:
        name = path.split(".")[2]
        library = library_of(path)
        assert (library is None) == (name in REPLACED or name in ONLY_TRACING)
        if library is not None:
            assert library.partition(".")[0].isidentifier()


@pytest.mark.skipif(not superseding_integrations("openai"), reason="a sentry-sdk in which none gives way")
@pytest.mark.parametrize(
    ("installed", "off", "expected"),
    [
        (set(), set(), False),
        ({"langchain-core"}, set(), True),
        ({"openai-agents"}, set(), True),
        ({"pydantic-ai-slim"}, set(), True),
        ({"langchain-core"}, {"langchain"}, False),
    ],
)
def test_an_integration_gives_way_as_under_plain_sentry_sdk_to_one_whose_library_is_installed(
    monkeypatch, installed, off, expected
):
    def distribution(package):
        if package not in installed:
            raise PackageNotFoundError(package)

    monkeypatch.setattr("slotel.runtime.sentry.errors.integrations.distribution", distribution)
    kinds = [type("Integration", (), {"identifier": each}) for each in off]
    assert is_superseded("openai", kinds) is expected
    assert is_superseded("cohere", kinds) is False


def test_what_only_traces_captures_nothing():
    folder = Path(integrations.__file__).parent
    for name in ONLY_TRACING:
        for source in (folder / f"{name}.py", *(folder / name).glob("*.py")):
            text = source.read_text() if source.exists() else ""
            assert "capture_event" not in text, source
            assert "capture_exception" not in text, source
