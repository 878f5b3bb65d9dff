"""An exporter whose results are noted is to everybody else what it was."""

from unittest import mock

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from slotel.runtime.upstream.otel.exports import DELIVERIES, watch

pytestmark = pytest.mark.unit


class Exporter(SpanExporter):
    def export(self, spans):
        """Say what came of it."""
        if spans == "broken":
            raise ConnectionError
        return SpanExportResult.SUCCESS if spans else SpanExportResult.FAILURE


def test_results_are_noted_and_given_on(monkeypatch):
    monkeypatch.setitem(DELIVERIES, "noted", None)
    exporter = Exporter()
    watch(exporter, "noted")
    assert exporter.export(["span"]) is SpanExportResult.SUCCESS
    assert (DELIVERIES["noted"].delivered, DELIVERIES["noted"].failed) == (mock.ANY, None)
    assert exporter.export([]) is SpanExportResult.FAILURE
    assert DELIVERIES["noted"].failed is not None
    with pytest.raises(ConnectionError):
        exporter.export("broken")


@pytest.mark.parametrize("exporter", [Exporter(), mock.MagicMock()], ids=["a method", "a mock"])
def test_what_is_known_of_the_method_stays(exporter, monkeypatch):
    monkeypatch.setitem(DELIVERIES, "noted", None)
    before = exporter.export
    watch(exporter, "noted")
    exporter.export(["span"])
    assert exporter.export == before
    assert exporter.export.__doc__ == before.__doc__
    if isinstance(exporter, mock.MagicMock):
        exporter.export.assert_called_once_with(["span"])
