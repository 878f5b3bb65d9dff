"""Processes of a service that do what comes by a pipe, forked from one small process: forks of pytest's are slow.

`python -m support.obedient NAME` reads commands from the pipe NAME.ask and answers each with a number at NAME.told.
"""

import gc
import logging
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

from slotel.config.names import SLOTEL_RUN_DIR
from slotel.runtime.metrics.workers import compaction, file_reader, inherited_memory
from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory
from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory
from support.counting import Service

IMPORTED = (compaction, file_reader, inherited_memory)
"""Here, once: each process of a history would import them for itself."""


def fork(name, service=None):
    """Fork a process that obeys; return its number."""
    pid = os.fork()
    if pid == 0:
        try:
            obey(name, service)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def obey(name, service=None):
    """Do what comes by the pipe."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel takes the dead away
    tell = os.open(f"{name}.told", os.O_WRONLY)
    with open(f"{name}.ask", buffering=1) as commands:  # noqa: PTH123 a line at a time
        for line in commands:
            command, _, value = line.strip().partition(" ")
            if command == "serve":  # the first process of a service, or one that another has spawned
                place, is_in_memory, path = value.split()
                if is_in_memory == "True":
                    RuntimeDirectory.can_be_made = lambda _directory: False
                service = Service(
                    {"XDG_RUNTIME_DIR": place} | ({SLOTEL_RUN_DIR: path} if path != "-" else {})
                )
                answer = 0
            else:
                answer = done(service, command, value)
            os.write(tell, f"{answer}".encode())


def done(service, command, value):
    """Do it; return the answer."""
    match command:
        case "count":
            route, number = value.split()
            service.count(route, int(number))
        case "fork":
            return fork(value, service)
        case "path":
            return service.workers.run_dir.path
        case "tick":
            service.workers.tick()
        case "total":
            return service.total()
        case "exit":
            os._exit(0)
        case "end":  # as the interpreter's end does it
            service.workers.remove_if_last()
            os._exit(0)
        case "dies-compacting":
            die_at(int(value))
            service.workers.tick()
            os._exit(0)  # there was less to do
        case "fill":  # the disk takes no file that is larger
            place = Path(service.workers.run_dir.path)
            size = max((each.stat().st_size for each in place.glob("*")), default=0)
            limit_files(0 if value else size)
        case "room":
            limit_files(resource.RLIM_INFINITY)
    return 0


def limit_files(size):
    """Let no file grow beyond a size, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def die_at(step):
    """Make a system call that changes the directory this process's last."""
    left = [step]

    def counted(real):
        def call(*values, **named):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*values, **named)

        return call

    for directory in (RuntimeDirectory, InheritedMemory):
        directory.write = counted(directory.write)
    InheritedMemory._clear = counted(InheritedMemory._clear)
    os.unlink, os.rename = counted(os.unlink), counted(os.rename)


if __name__ == "__main__":
    logging.disable()  # a history says much
    gc.freeze()
    obey(sys.argv[1])
