"""Each place in the runtime where data can leave the process is known, and is behind the redactor.

What leaves is looked at by `tests/leaks`. This test makes sure that nobody adds a way out that `tests/leaks` does not see:
a module that sends, writes or exports is listed here with the reason why it holds no secret.
"""

import ast
from pathlib import Path

import slotel

ROOT = Path(slotel.__file__).parent
CALLS = {
    "urlopen", "sendall", "sendmsg", "send", "sendto", "write", "write_text", "write_bytes", "writelines", "pwrite", "dump",
    "export", "capture_event", "capture_message", "capture_exception", "print", "share", "append_line", "offer",
    "get_bytes", "capture_envelope",
}  # fmt: skip
"""Names of functions by which bytes leave, as far as this code base uses them."""
MODULES = {"urllib3", "requests", "http.client", "mmap", "smtplib", "ftplib"}

BEHIND = {
    "logs.py": "writes log lines, which a filter of the logger has redacted",
    "metrics/scrape/http/connection.py": "writes what the endpoint renders: of the store and of app_metrics, both redacted",
    "upstream/launcher.py": "names a command that does not exist, to who typed it; of an assignment, the variable alone",
    "upstream/otel/exports.py": "hands on what an exporter is given: it was redacted before",
    "upstream/otel/metrics.py": "exports what `change` has redacted, where a reader has no collect callback",
    "upstream/otel/spans.py": "prints a fingerprint of the SDK when it is run by hand",
    "metrics/scrape/http/tls.py": "the same bytes, encrypted",
    "metrics/scrape/sources/app_metrics.py": "shares families whose labels Conversion and RedactedFamilies have redacted",
    "metrics/workers/files.py": "writes what mapped_file and series_limiter give it: the same series, and names",
    "metrics/workers/inherited_memory.py": "the same, in memory that forked workers share",
    "metrics/workers/memory_files.py": "the same, in memory that forked workers share",
    "metrics/workers/mapped_file.py": "series of the store, redacted where they are opened (span_metrics, self_metrics)",
    "metrics/workers/workers.py": "shares what app_metrics and recent errors give it, redacted",
    "process/bus_errors.py": "puts memory of the process itself in place of a page that is gone",
    "metrics/workers/runtime_directory.py": "names of files and processes",
    "metrics/workers/compaction.py": "the same series",
    "process/descriptors.py": "one byte to its own thread",
    "sentry/client/client.py": "an incident of the budget: numbers and names of objectives, through the client's hooks",
    "sentry/flushing.py": "the app's own flush of the client's transport: what waits there was redacted",
    "sentry/errors/capture.py": "captures by the client, whose events are redacted",
    "status_page/shared.py": "shares times of deliveries, names of instrumentations, and errors that were redacted for Sentry",
    "sentry/transport/sender.py": "sends envelopes that client_transport and the transactions' assembly have made",
    "sentry/transport/completion.py": "redacts each item of an envelope of sentry-sdk by its type (test_items.py)",
    "sentry/transport/app_transport.py": "hands over transactions that the assembly has made",
    "sentry/transport/endpoint.py": "the same envelopes",
    "sentry/transport/kept_alive.py": "the same envelopes",
    "sentry/transactions/assembly.py": "attachments, redacted by `Enforcer.item` like those of errors (test_transactions.py)",
    "sentry/transactions/worker.py": "assembles from RedactedSpan, which the enforcer made",
    "sentry/modes/otlp.py": "exports spans that the enforcer made",
    "components.py": "shares which jobs run with the other workers, in their private directory: names, ids and trace headers",
}
"""Module of the runtime → why what it lets out holds no secret."""


def ways_out(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in CALLS:
                yield name
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield node.module


def test_each_module_that_lets_data_out_is_behind_the_redactor():
    found = {}
    for file in sorted((ROOT / "runtime").rglob("*.py")):
        names = sorted(set(ways_out(ast.parse(file.read_text(encoding="utf-8")))))
        if names:
            found[str(file.relative_to(ROOT / "runtime"))] = names
    unknown = {module: names for module, names in found.items() if module not in BEHIND}
    assert BEHIND.keys() - found.keys() == set(), "these let nothing out any more"
    assert unknown == {}, "say in BEHIND why nothing secret leaves there, and put markers into tests/leaks"
