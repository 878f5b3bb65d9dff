"""The collector's binary, once a session; what it sends to, once a file."""

import pytest

from support.otelcol import find_otelcol
from support.otlp import OtlpSink


@pytest.fixture(scope="session")
def otelcol() -> str:
    return find_otelcol()


@pytest.fixture(scope="module")
def sink():
    with OtlpSink() as started:
        yield started
