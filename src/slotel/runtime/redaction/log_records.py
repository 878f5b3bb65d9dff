"""Redacts OpenTelemetry's log records before any processor that exports them. Exports nothing."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from slotel.runtime.redaction.enforcer import Enforcer


class LogRecordRedactor:
    """Gives the processors of a logger provider records without secrets.

    Args:
        fault: told of an error of redaction itself; the record then loses its text and its attributes.
    """

    def __init__(self, enforcer: Enforcer, fault: Callable[[BaseException], None]) -> None:
        self._enforcer = enforcer
        self._fault = fault

    def redact(self, log_record: Any) -> None:
        """Put a redacted record in the place of one with secrets; the app's own record stays as it is."""
        record = log_record.log_record
        try:
            body, attributes = record.body, dict(record.attributes or {})
            clean_body: Any = self._enforcer.redactor.data(body)
            clean = self._enforcer.redactor.attributes(attributes)
            if log_record.resource is not None:
                log_record.resource = self._enforcer.resource(log_record.resource)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._fault(error)
            clean_body, clean, body, attributes = None, {}, "", {}
        if clean is attributes and (clean_body is body or clean_body == body):
            return
        log_record.log_record = redacted = copy(record)
        redacted.body, redacted.attributes = clean_body, clean
