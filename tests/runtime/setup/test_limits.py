"""A limit of OpenTelemetry's that is no number costs that limit, not the whole of the telemetry."""

import subprocess
import sys

import pytest

from slotel.runtime.setup.defaults import LEFT_OUT, set_defaults
from support.launch import LAUNCHER, clean_environ


def test_limits_that_are_no_numbers_are_left_out():

    environ = {"OTEL_SPAN_LINK_COUNT_LIMIT": "-1", "OTEL_ATTRIBUTE_COUNT_LIMIT": " 5 ", "ERROR_LIMIT": "x"}
    set_defaults(environ)
    kept = {name: value for name, value in environ.items() if name.endswith("LIMIT")}
    assert kept == {"OTEL_ATTRIBUTE_COUNT_LIMIT": " 5 ", "ERROR_LIMIT": "x"}
    assert LEFT_OUT.pop("OTEL_SPAN_LINK_COUNT_LIMIT") == "-1"


@pytest.mark.process
@pytest.mark.parametrize("name", ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
def test_a_wrong_limit_is_named_and_everything_works(name):
    """The SDK raises at the first of these when it is imported, at the second when a provider is made."""
    code = "from slotel.runtime.state import current; print('counts:', current().pipeline is not None)"
    done = subprocess.run(
        [str(LAUNCHER), sys.executable, "-c", code],
        env=clean_environ(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", **{name: "1k"}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "counts: True\n", done.stderr
    assert f"ERROR slotel: {name}='1k' is not a number" in done.stderr
    assert "Traceback" not in done.stderr
