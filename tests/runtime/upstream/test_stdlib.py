"""What slotel asks the standard library for."""

import asyncio
import sys
from types import ModuleType

from slotel.runtime.upstream.stdlib import in_event_loop


def test_an_event_loop_is_found_where_one_runs():
    async def ask():
        return in_event_loop()

    assert (in_event_loop(), asyncio.run(ask())) == (False, True)


def test_there_is_no_event_loop_while_another_thread_imports_asyncio_or_nothing_has(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))  # so far it is empty
    assert not in_event_loop()
    monkeypatch.delitem(sys.modules, "asyncio")
    assert not in_event_loop()
