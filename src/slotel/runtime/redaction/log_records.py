"""Tags and redacts OpenTelemetry's log records before any processor exports them. Exports nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final

from slotel.runtime.redaction.enforcer import Enforcer, redacted_scope

_NAMES: Final = ("severity_text", "event_name")
_CHANGING: Final = (dict, list)
"""Types of bodies that the app may change before the export; the redacted copy is exported."""


def enforcing(
    enforcer: Enforcer,
    request_tags: Callable[[int], Mapping[str, str]],
    fault: Callable[[BaseException], None],
) -> Callable[[Any], None]:
    """Return a function that replaces a record by a copy with enforced tags and without secrets; the app's stays.

    Args:
        request_tags: custom tags of the request that a span, by its id, belongs to.
        fault: called with an exception of the redaction itself; the record then loses its body and attributes.
    """

    def enforce(log_record: Any) -> None:
        record = log_record.log_record
        redactor = enforcer.redactor
        try:
            body, attributes = record.body, dict(record.attributes or {})
            clean_body: Any = redactor.data(body)
            names: dict[str, str | None] = {
                name: redactor.text(text) for name in _NAMES if (text := getattr(record, name, None))
            }
            tags = request_tags(record.span_id) if record.span_id else {}
            clean = enforcer.with_tags(redactor.attributes(attributes), tags)
            if log_record.resource is not None:
                log_record.resource = enforcer.resource(log_record.resource)
            scope = getattr(log_record, "instrumentation_scope", None)
            if scope is not None and scope.attributes:
                log_record.instrumentation_scope = redacted_scope(scope, redactor.attributes)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            fault(error)
            clean_body, clean, body, attributes = None, {}, "", {}
            names = dict.fromkeys(_NAMES)
        if (
            clean is attributes
            and clean_body.__class__ not in _CHANGING
            and (clean_body is body or clean_body == body)
            and all(getattr(record, name) == text for name, text in names.items())
        ):
            return
        log_record.log_record = enforced = copy(record)
        enforced.body, enforced.attributes = clean_body, clean
        for name, text in names.items():
            setattr(enforced, name, text)

    return enforce
