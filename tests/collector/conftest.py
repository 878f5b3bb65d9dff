"""The collector's binary, once a session."""

import pytest

from support.otelcol import find_otelcol


@pytest.fixture(scope="session")
def otelcol() -> str:
    return find_otelcol()
