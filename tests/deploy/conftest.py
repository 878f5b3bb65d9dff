"""The collector's binary, once a session: its `validate` reads what the deployments give it."""

import pytest

from support.otelcol import find_otelcol


@pytest.fixture(scope="session")
def otelcol() -> str:
    return find_otelcol()
