"""Tags and redacts OpenTelemetry's log records before any processor exports them. Exports nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from slotel.runtime.redaction.enforcer import Enforcer


class LogRecordEnforcer:
    """Gives the processors of a logger provider records with enforced tags and without secrets.

    Args:
        request_tags: custom tags of the request that a span, by its id, belongs to.
        fault: told of an error of redaction itself; the record then loses its text and its attributes.
    """

    def __init__(
        self,
        enforcer: Enforcer,
        request_tags: Callable[[int], Mapping[str, str]],
        fault: Callable[[BaseException], None],
    ) -> None:
        self._enforcer = enforcer
        self._request_tags = request_tags
        self._fault = fault

    def enforce(self, log_record: Any) -> None:
        """Put an enforced record in the place of another; the app's own record stays as it is."""
        record = log_record.log_record
        try:
            body, attributes = record.body, dict(record.attributes or {})
            clean_body: Any = self._enforcer.redactor.data(body)
            tags = self._request_tags(record.span_id) if record.span_id else {}
            clean = self._enforcer.with_tags(self._enforcer.redactor.attributes(attributes), tags)
            if log_record.resource is not None:
                log_record.resource = self._enforcer.resource(log_record.resource)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._fault(error)
            clean_body, clean, body, attributes = None, {}, "", {}
        if clean is attributes and (clean_body is body or clean_body == body):
            return
        log_record.log_record = enforced = copy(record)
        enforced.body, enforced.attributes = clean_body, clean
