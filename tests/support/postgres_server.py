"""A real PostgreSQL for a test: its own process, port and data."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from support.launch import wait_until
from support.ports import free_port
from support.real import require_real


@contextmanager
def postgres_server():
    """Yield the port of a PostgreSQL with the user `shop`, without a password; the test is skipped where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or [Path(require_real("postgres"))]
    home, port = found[-1].parent, free_port()
    user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []  # PostgreSQL does not run as root
    # not in pytest's own folder, which each session of pytest closes to other users
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        data.mkdir()
        if user:
            shutil.chown(data, "nobody")
        subprocess.run(
            [*user, str(home / "initdb"), "-D", str(data), "-U", "shop", "-A", "trust"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        options = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        process = subprocess.Popen(
            [
                *user,
                str(home / "postgres"),
                "-D",
                str(data),
                *(word for each in options for word in ("-c", each)),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: _answers(port), "PostgreSQL answers")
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
