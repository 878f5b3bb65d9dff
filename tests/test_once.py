"""What one test makes for all of them counts against no test's time limit."""

import signal

from support.once import alone


def test_the_time_limit_of_a_test_stands_still_while_something_is_made():
    before, _ = signal.getitimer(signal.ITIMER_REAL)
    with alone("test-once"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    after, _ = signal.getitimer(signal.ITIMER_REAL)
    assert (after > 0, after <= before) == (before > 0, True)
