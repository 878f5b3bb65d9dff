"""A body that cannot be parsed is the handler's matter: sentry-sdk parses it first, and alone answers 500 for 400."""

import pytest

from runtime.sentry.test_errors_like_plain import interpreter_with
from support.sentry_app import run_app

pytestmark = pytest.mark.process


def answers(how, python):
    launcher = () if how == "plain" else None
    return run_app(how, "malformed.py", python=python, launcher=launcher).stdout.splitlines()


def test_litestar_answers_a_malformed_body_as_without_slotel():
    python = interpreter_with("litestar")
    if python is None:
        pytest.skip("litestar is not installed: make apps")
    alone = answers("plain", python)
    assert len(alone) == 72
    assert answers("slotel", python) == alone
