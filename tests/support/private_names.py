"""Finds private names of other projects outside `slotel/runtime/upstream`: `python tests/support/private_names.py`.

A name counts as another project's when it starts with one underscore and nothing in slotel defines it. Those that still
stand elsewhere are listed with their reason; the list may only get shorter.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "slotel"
ROOM = "runtime/upstream/"

PUBLIC = frozenset({"_replace", "_asdict", "_fields", "_field_defaults", "_value_"})
"""Documented names of NamedTuple and Enum."""

ELSEWHERE = {
    "cli/main.py": {"_option_string_actions"},
    "compile/example_series.py": {"re._parser"},
    "runtime/components.py": {"_metric_readers"},
    "runtime/distro.py": {"opentelemetry.sdk._configuration", "opentelemetry.sdk._configuration._OTelSDKConfigurator"},
    "runtime/metrics/instruments/fork_reset.py": {
        "_export_lock", "_instrument_class_aggregation", "_instrument_class_temporality", "_measurement_consumer",
        "_reader_storages", "_sdk_config", "_transport",
    },
    "runtime/metrics/instruments/http_server.py": {"_metric_readers", "_sdk_config"},
    "runtime/metrics/instruments/otlp_metrics.py": {
        "_collect", "_metric_readers", "_preferred_temporality", "_set_collect_callback",
    },
    "runtime/metrics/scrape/conversion.py": {"_set_collect_callback"},
    "runtime/metrics/scrape/registry.py": {"_collector_to_names"},
    "runtime/metrics/store/store.py": {"_at_fork_reinit"},
    "runtime/process/shutdown.py": {"_thread"},
    "runtime/redaction/log_records.py": {"opentelemetry.sdk._logs"},
    "runtime/sentry/errors/linker.py": {"_get_running_loop"},
    "runtime/sentry/errors/request.py": {
        "_RootPathInPath", "_get_request_data", "sentry_sdk.integrations._asgi_common",
        "sentry_sdk.integrations.wsgi._make_wsgi_event_processor",
    },
    "runtime/sentry/transactions/worker.py": {"_thread", "opentelemetry.context._SUPPRESS_INSTRUMENTATION_KEY"},
    "runtime/sentry/transport/client_transport.py": {"_inner"},
    "runtime/sentry/transport/sender.py": {"_thread", "opentelemetry.context._SUPPRESS_INSTRUMENTATION_KEY"},
    "runtime/setup/instrumentations.py": {"_InstrumentedFlask"},
    "runtime/setup/sdk.py": {"opentelemetry.sdk._configuration", "opentelemetry.sdk._configuration._OTelSDKConfigurator"},
    "runtime/tracing/fast/span.py": {"_new_links", "_readable_span", "_span_limits"},
    "runtime/tracing/fast/tracer.py": {"_is_enabled", "_tracer_config", "_tracer_metrics"},
    "runtime/tracing/provider.py": {"_span_processors", "_update_resource"},
    "runtime/tracing/sampler.py": {"_root"},
}  # fmt: skip
"""Still to be moved: each has its probe or its fallback where it stands."""


def private(name: str) -> bool:
    return (
        name.startswith("_") and not name.startswith(("__", "_slotel")) and name != "_" and name not in PUBLIC
    )


def own_names(trees: dict[str, ast.Module]) -> set[str]:
    """Names that slotel defines."""
    own: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.arg):
                own.add(node.arg)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    own.add(node.attr)
            elif isinstance(node, ast.Assign) and any(
                getattr(to, "id", "") == "__slots__" for to in node.targets
            ):
                own |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    return own


def foreign_names(tree: ast.Module, own: set[str]) -> Iterator[str]:
    """Private names of other projects in one module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("slotel"):
            yield from (f"{node.module}.{each.name}" for each in node.names if private(each.name))
            if any(private(part) for part in node.module.split(".")):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if any(map(private, each.name.split("."))))
        elif isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in own:
            yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
            if isinstance(name, str) and private(name) and name not in own:
                yield name


def findings() -> list[str]:
    """What is wrong: a new name outside the room, or a listed one that is gone."""
    trees = {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")
    }
    own = own_names(trees)
    found: dict[str, set[str]] = {}
    for module, tree in trees.items():
        names = set() if module.startswith(ROOM) else set(foreign_names(tree, own))
        if names:
            found[module] = names
    wrong = []
    for module in sorted(found.keys() | ELSEWHERE.keys()):
        here, listed = found.get(module, set()), ELSEWHERE.get(module, set())
        wrong += [
            f"{module}: {name} is another project's: it belongs into {ROOM}" for name in sorted(here - listed)
        ]
        wrong += [f"{module}: {name} is gone: take it off the list" for name in sorted(listed - here)]
    return wrong


if __name__ == "__main__":
    lines = findings()
    print("\n".join(lines) or "private names of other projects: none new outside the room")
    sys.exit(bool(lines))
