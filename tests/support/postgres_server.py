"""A real PostgreSQL for a test: its own process, port and data."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port
from support.real import require_real


@contextmanager
def postgres_server(folder):
    """Yield the port of a PostgreSQL with the user `shop`, without a password; the test is skipped where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or [Path(require_real("postgres"))]
    home, port = found[-1].parent, free_port()
    user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []  # PostgreSQL does not run as root
    data = folder / "data"
    data.mkdir()
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    if user:
        shutil.chown(data, "nobody")
    subprocess.run(
        [*user, str(home / "initdb"), "-D", str(data), "-U", "shop", "-A", "trust"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options = [
        "-p",
        str(port),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ]
    process = subprocess.Popen(
        [*user, str(home / "postgres"), "-D", str(data), *options], stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)
