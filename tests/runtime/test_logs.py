"""A user sees what slotel says, once. In a process of its own: pytest's own handlers stand on the root logger."""

import subprocess
import sys

import pytest

SAYS = "from slotel.runtime.logs import LOG, show_logs; show_logs(); LOG.warning('the budget is breached')"


def said(*, after=""):
    """What standard error shows of a line that slotel says after the app's `after`."""
    code = f"import logging; {after}\n{SAYS}"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stderr


def test_a_bare_app_shows_the_lines_on_standard_error():
    assert said() == "WARNING slotel: the budget is breached\n"


def test_a_handler_that_ships_records_hides_no_line():
    """`opentelemetry-bootstrap -a install` brings one, before the app logs anything."""
    ships = (
        "from opentelemetry.instrumentation.logging import LoggingInstrumentor; LoggingInstrumentor().instrument();"
        "assert logging.getLogger().handlers"
    )
    assert said(after=ships) == "WARNING slotel: the budget is breached\n"


def test_an_app_with_logging_of_its_own_shows_each_line_once():
    assert said(after="logging.basicConfig(format='%(message)s')") == "the budget is breached\n"


@pytest.mark.parametrize("gone", ["sys.stderr.close()", "sys.stderr = None", "os.close(2)"])
def test_without_a_standard_error_nothing_is_written_or_raised_and_its_successor_gets_the_next_line(gone):
    code = (
        f"import io, os, sys\n{SAYS}\n{gone}\nLOG.warning('to nobody')\n"
        "sys.stderr = heard = io.StringIO()\nLOG.warning('heard')\nprint(heard.getvalue(), end='')"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stderr == "WARNING slotel: the budget is breached\n"
    assert ran.stdout == "WARNING slotel: heard\n"


def test_a_line_that_quotes_a_line_break_stays_one_line():
    before = "from slotel.runtime.logs import LOG, redact_logs; redact_logs(str); LOG.warning('a %s', 'b\\nERROR forged')"
    assert said(after=before).splitlines()[0] == r"a b\nERROR forged"


DEFAULT_CONFIG = {
    "dictConfig": "from logging.config import dictConfig; dictConfig({'version': 1})",
    "fileConfig": (
        "import io; from logging.config import fileConfig; fileConfig(io.StringIO("
        "'[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n[logger_root]\\nhandlers=\\n'))"
    ),
}


@pytest.mark.parametrize("configure", DEFAULT_CONFIG.values(), ids=DEFAULT_CONFIG)
def test_configured_logging_disables_other_loggers_and_not_slotels(configure):
    """`disable_existing_loggers` is True unless an app says otherwise. The oracle is a logger of another library."""
    other = "logging.getLogger('requests')"
    before = (
        f"from slotel.runtime.logs import LOG; {other}; {configure}; print({other}.disabled, file=sys.stderr)"
    )
    assert said(after=f"import sys; {before}") == "True\nWARNING slotel: the budget is breached\n"


def test_the_lines_of_a_failed_otlp_export_survive_configured_logging():
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    before = (
        f"from slotel.runtime.logs import show_logs; show_logs(); {DEFAULT_CONFIG['dictConfig']}; "
        f"logging.getLogger('{name}').error('Failed to export span batch code: 500, reason: down')"
    )
    assert "the OTLP exporter cannot deliver: Failed to export span batch code: 500" in said(after=before)


@pytest.mark.parametrize(
    "silence",
    [
        "logging.getLogger('slotel').disabled = True",
        "from logging.config import dictConfig; dictConfig({'version': 1, 'loggers': {'slotel': {'level': 'CRITICAL'}}})",
    ],
    ids=["by hand", "by name"],
)
def test_who_silences_slotel_by_hand_or_by_name_is_obeyed(silence):
    assert said(after=f"from slotel.runtime.logs import LOG; {silence}") == ""
