"""A `transaction_style` that the app has chosen names transactions and errors as under plain sentry-sdk."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk

from runtime.sentry.test_errors_like_plain import APPS_BIN, interpreter_with
from support.sentry_app import run_app

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 streams spans"),
]


def names(how, python, styles, **variables):
    asked = [f"{framework}={style}" for framework, style in styles.items()]
    ran = run_app(
        how, "names.py", *asked, uses=[*styles], python=python, SENTRY_TRACES_SAMPLE_RATE="1", **variables
    )
    return sorted(
        (payload.get("type", "event"), payload["transaction"], payload["transaction_info"]["source"])
        for kind in ("event", "transaction")
        for payload in ran.payloads(kind)
        if payload.get("logger") != "slotel.budget"  # of a process that lives for longer than a tick
    )


def both(styles, **variables):
    """What the two send of an app of each framework, one after another in a process."""
    pythons = {interpreter_with(framework) for framework in styles}
    if None in pythons:
        pytest.skip(f"{', '.join(styles)}: not all are installed: make apps")
    python = pythons.pop() if len(pythons) == 1 else APPS_BIN / "python"
    with ThreadPoolExecutor() as pool:
        plain = pool.submit(names, "plain", python, styles)
        slotel = pool.submit(names, "slotel", python, styles, **variables)
        return plain.result(), slotel.result()


STYLES = {
    "flask": "url", "django": "function_name", "starlette": "endpoint", "fastapi": "endpoint", "quart": "url",
    "pyramid": "route_pattern", "falcon": "path",
}  # fmt: skip
NATIVE = ("quart", "pyramid", "falcon", "fastapi")


def all_and_each(frameworks):
    """All in a process; `make long` has each in one of its own, too."""
    return [frameworks, *(pytest.param((each,), marks=pytest.mark.long) for each in frameworks)]


@pytest.mark.parametrize("frameworks", all_and_each((*STYLES,)), ids=" ".join)
def test_a_style_that_the_app_has_chosen_names_its_transactions_and_errors(frameworks):
    plain, slotel = both({each: STYLES[each] for each in frameworks})
    assert len(plain) == 3 * len(frameworks)
    assert slotel == plain


@pytest.mark.parametrize("frameworks", all_and_each(NATIVE), ids=" ".join)
def test_native_names_are_those_of_the_default_style(frameworks, tmp_path):
    config = tmp_path / "slotel.yaml"
    config.write_text("version: 1\nsentry:\n  transaction_names: native\n")
    plain, slotel = both(dict.fromkeys(frameworks, ""), SLOTEL_CONFIG=str(config))
    assert len(plain) == 3 * len(frameworks)
    assert slotel == plain


def test_the_default_style_leaves_opentelemetrys_names():
    plain, slotel = both({"flask": "endpoint"})
    assert {name for _, name, _ in plain} == {"good", "fails"}
    assert {name for _, name, _ in slotel} == {"GET /good/<number>", "GET /fails/<number>"}
