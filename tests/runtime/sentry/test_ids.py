"""Ids of events: no two are the same, on however many threads, and in a forked child."""

import os
import threading

import pytest

from slotel.runtime.sentry.transactions.ids import Ids

THREADS, EACH = 8, 5000


def test_threads_share_no_id():
    ids, found = Ids(), []
    threads = [
        threading.Thread(target=lambda: found.extend([ids.take(16) for _ in range(EACH)]))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == THREADS * EACH
    assert {len(each) for each in found} == {32}
    assert len(ids.take(8)) == 16


@pytest.mark.process
def test_a_forked_child_takes_none_of_its_parents():
    ids = Ids()
    ids.take(16)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "".join(ids.take(16) for _ in range(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reader, 10_000).decode()
    theirs = {told[at : at + 32] for at in range(0, len(told), 32)}
    assert len(theirs) == 50
    assert theirs.isdisjoint(ids.take(16) for _ in range(300))
