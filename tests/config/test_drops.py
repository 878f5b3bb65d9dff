"""Every reason of slotel_dropped_total that the code gives has its words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sentry_sdk

import slotel
from slotel.config.drops import DROPS, drop

SOURCE = Path(slotel.__file__).parent
TOLD = {
    "dropped",
    "_dropped",
    "lost",
    "_lose",
    "DroppedError",
    "UnreadableError",
    "_say_once",
    "_refuse",
    "refused",
}
SIGNALS = {"attachments", "errors", "traces", "spans", "logs", "metrics", "error_detail"}


def literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def calls(source: Path, told: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls of functions that are told a reason, and where they stand."""
    named = re.compile(rf"\b(?:{'|'.join(told)})\(")
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if named.search(text) else ():
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) in told
            ):
                yield f"{path.relative_to(source)}:{node.lineno}", node


def given() -> dict[str, str]:
    """Return each literal reason in the code, and where it stands."""
    return {
        reason: where
        for where, call in calls(SOURCE, TOLD)
        for value in call.args
        for reason in literals(value)
        if reason not in SIGNALS and reason.islower() and " " not in reason
    }


def given_by_sentry_sdk() -> dict[str, str]:
    """Return the same of sentry-sdk: the first argument of the call that counts a loss."""
    return {
        reason: where
        for where, call in calls(
            Path(sentry_sdk.__file__).parent, {"record_lost_event", "_record_lost_telemetry"}
        )
        for value in (*call.args[:1], *(each.value for each in call.keywords if each.arg == "reason"))
        for reason in literals(value)
    }


@pytest.mark.unit
def test_each_reason_of_the_code_is_explained():
    assert {reason: where for reason, where in given().items() if reason not in DROPS} == {}


@pytest.mark.unit
def test_each_reason_of_sentry_sdk_is_explained():
    found = given_by_sentry_sdk()
    assert {"before_send", "event_processor"} <= set(found)
    assert {reason: where for reason, where in found.items() if reason not in DROPS} == {}


@pytest.mark.unit
def test_each_explained_reason_is_given_by_the_code_or_by_sentry_sdk():
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name != "drops.py"]
    texts += [path.read_text(encoding="utf-8") for path in Path(sentry_sdk.__file__).parent.rglob("*.py")]
    assert [reason for reason in DROPS if not any(f'"{reason}"' in text for text in texts)] == []


@pytest.mark.unit
def test_a_reason_that_nobody_knows_has_words_too():
    assert drop("status_418").what == "Sentry refused them with HTTP status 418"
    assert drop("of_tomorrow").what
