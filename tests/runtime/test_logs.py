"""A user sees what slotel says, once. In a process of its own: pytest's own handlers stand on the root logger."""

import subprocess
import sys

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


def test_a_line_that_quotes_a_line_break_stays_one_line():
    before = "from slotel.runtime.logs import LOG, redact_logs; redact_logs(str); LOG.warning('a %s', 'b\\nERROR forged')"
    assert said(after=before).splitlines()[0] == r"a b\nERROR forged"
