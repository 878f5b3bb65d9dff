"""What a backtest shows on a terminal and elsewhere: no word is cut; a time that is none is refused."""

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from slotel.cli.backtest import command as backtest_command
from slotel.cli.backtest import report, show
from slotel.cli.suggest import command as suggest_command
from slotel.compile.backtest import Backtest, Fired

BEGIN = 1_767_225_600
FIRED = Fired("ErrorBudgetLimitExceeded", "ticket", "1h", BEGIN + 60, BEGIN + 2370, 0.0176)
FOUND = Backtest("shop", "availability", 0.99, BEGIN, BEGIN + 3600, 0.98, 0.1, 0.0, (FIRED,), (), ())
CELLS = ("ticket", "ErrorBudgetLimitExceeded", "2026-01-01 00:01", "38 min 30 s", "1.76 %")


@pytest.mark.parametrize("width", [80, 160])
def test_a_row_of_an_alert_is_whole(width):
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    show(FOUND, console)
    text = console.file.getvalue()
    assert "…" not in text
    assert [cell for cell in CELLS if cell not in text] == []


def test_a_pipe_and_a_report_have_what_a_wide_terminal_has(capsys):
    show(FOUND)
    piped = capsys.readouterr().out
    for text in (piped, report([FOUND])):
        assert "…" not in text
        assert [cell for cell in CELLS if cell not in text] == []
        assert "ErrorBudgetLimitExceeded 1h" in text


@pytest.mark.parametrize("end", ["nan", "inf", "1e300", "-5", "1796064396000"])
@pytest.mark.parametrize(("command", "flag"), [(backtest_command, "--until"), (suggest_command, "--at")])
def test_an_end_that_is_no_time_is_refused_in_one_line(command, flag, end):
    done = CliRunner().invoke(command, ["--prometheus", "http://127.0.0.1:1", f"{flag}={end}"])
    assert done.exit_code == 2
    assert "give seconds since 1970" in done.output
