"""The process's own metrics."""

import gc
import os

from slotel.runtime.metrics.scrape.sources.registry import ProcessMetrics


def values(metrics):
    return {
        (family.name, *labels): row[0]
        for family in metrics.families()
        for labels, row in family.series.items()
    }


def test_cpu_memory_and_files_are_those_of_this_process():
    seen = values(ProcessMetrics())
    assert 0 < seen["process_cpu_seconds",] < 10_000
    assert seen["process_resident_memory_bytes",] > 5_000_000
    assert seen["process_open_fds",] >= 3
    assert seen["process_start_time_seconds",] > 1_600_000_000


def test_a_forked_childs_collections_begin_at_zero():
    metrics = ProcessMetrics()
    gc.collect()
    assert values(metrics)["python_gc_collections", "2"] >= 1
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str(int(values(metrics)["python_gc_collections", "2"])).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"0"
    os.close(reader)
    os.close(writer)
