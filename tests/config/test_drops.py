"""Every reason of slotel_dropped_total that the code gives has its words."""

import ast
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
SIGNALS = {"errors", "traces", "spans", "logs", "metrics", "error_detail"}


def literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def given() -> dict[str, str]:
    """Return each literal reason in the code, and where it stands."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                for reason in (each for value in node.args for each in literals(value) if name in TOLD):
                    if reason not in SIGNALS and reason.islower() and " " not in reason:
                        found[reason] = f"{path.relative_to(SOURCE)}:{node.lineno}"
    return found


@pytest.mark.unit
def test_each_reason_of_the_code_is_explained():
    assert {reason: where for reason, where in given().items() if reason not in DROPS} == {}


@pytest.mark.unit
def test_each_explained_reason_is_given_by_the_code_or_by_sentry_sdk():
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name != "drops.py"]
    texts += [path.read_text(encoding="utf-8") for path in Path(sentry_sdk.__file__).parent.glob("*.py")]
    assert [reason for reason in DROPS if not any(f'"{reason}"' in text for text in texts)] == []


@pytest.mark.unit
def test_a_reason_that_nobody_knows_has_words_too():
    assert drop("status_418").what == "Sentry refused them with HTTP status 418"
    assert drop("of_tomorrow").what
