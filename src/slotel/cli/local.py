"""Helpers for services on this machine: a free port, and the samples of a scrape."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from typing import Any


def free_port(wanted: int = 0) -> int:
    """Return the wanted port if it is free, else another free port."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    return 0


def read_samples(url: str) -> list[tuple[str, dict[str, str], float]]:
    """Return (name, labels, value) for each sample of a scrape."""
    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 our own loopback address
        text = answer.read().decode()
    parse: Callable[[str], Any] = text_string_to_metric_families
    return [(sample.name, sample.labels, sample.value) for family in parse(text) for sample in family.samples]
