"""The service map: what this service calls, by the names and metrics of Tempo and the service graph connector.

A process sees the calling side alone, so the called side is what the call's span says of it: the service's name if the
app sets one, a database, a queue, or a host. Where a service's host is its name (Kubernetes, compose) the map joins up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from slotel.config import names
from slotel.runtime.metrics.store.store import Store

CALLING: Final = frozenset((2, 3))
"""Values of OpenTelemetry's SpanKind: CLIENT, PRODUCER."""
MOST: Final = 100
"""Called services with a series each, about as many as a map can show; all others count as `OTHERS`."""
OTHERS: Final = "(others)"

_CONNECTIONS: Final = {
    "service.peer.name": "virtual_node",
    "peer.service": "virtual_node",
    "db.namespace": "database",
    "db.name": "database",
    "db.system.name": "database",
    "db.system": "database",
    "messaging.destination.template": "messaging_system",
    "messaging.destination.name": "messaging_system",
    "messaging.system": "messaging_system",
    "server.address": "virtual_node",
    "net.peer.name": "virtual_node",
    "rpc.service": "virtual_node",
}
"""Attributes that name the called side, and the connection that they speak of; the first that is there is taken."""
_NAMES: Final = tuple(_CONNECTIONS)
_HOSTS_LAST: Final = _NAMES[_NAMES.index("server.address") :]
_BEFORE_HOSTS: Final = frozenset(_NAMES) - frozenset(_HOSTS_LAST)
_HOSTS: Final = frozenset(("server.address", "net.peer.name"))
_UNBOUNDED: Final = ("messaging.destination.temporary", "messaging.destination.anonymous")
"""Such a queue's name is made up for one receiver."""
_KUBERNETES: Final = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(\..+)?")


class Peer(NamedTuple):
    """The called side: its name, and the kind of connection as Tempo names it."""

    name: str
    connection: str


def peer_attribute(attributes: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return the attribute of a CLIENT or PRODUCER span that says whom it calls; on the request thread: no more."""
    get = attributes.get
    for name in _HOSTS_LAST if _BEFORE_HOSTS.isdisjoint(attributes) else _NAMES:
        value = get(name)
        if value:
            return name, value
    return None


def peer_of(attributes: Mapping[str, Any]) -> Peer | None:
    """Return whom a CLIENT or PRODUCER span calls; None if it does not say.

    >>> peer_of({"server.address": "payments.shop.svc.cluster.local"})
    Peer(name='payments', connection='virtual_node')
    >>> peer_of({"db.system.name": "postgresql", "db.namespace": "orders", "server.address": "10.0.0.9"})
    Peer(name='orders', connection='database')
    """
    found = peer_attribute(attributes)
    if found is None:
        return None
    name, value = found[0], str(found[1])
    if name == "messaging.destination.name" and any(map(attributes.get, _UNBOUNDED)):
        value = str(attributes.get("messaging.system", OTHERS))
    service = _KUBERNETES.fullmatch(value) if name in _HOSTS else None
    return Peer(service["service"] if service is not None else value, _CONNECTIONS[name])


class CallGraph:
    """Counters of calls, and of failed calls, by calling and called side; `text` redacts a name."""

    def __init__(self, store: Store, service_name: str, text: Callable[[str], str]) -> None:
        self._service, self._text = service_name, text
        labels = (names.LABEL_CLIENT, names.LABEL_SERVER, names.LABEL_CONNECTION)
        self._calls = store.counter(names.GRAPH_CALLS, help="Calls between services.", label_names=labels)
        self._failed = store.counter(
            names.GRAPH_FAILED, help="Calls between services that failed.", label_names=labels
        )

    def cells(self, peer: Peer, *, is_failed: bool) -> tuple[int, ...]:
        """Return the cells that a call adds to; both series begin at 0 together."""
        labels = (self._service, self._text(peer.name), peer.connection)
        if labels not in self._calls.slots and len(self._calls.slots) > MOST:
            labels = (self._service, OTHERS, "virtual_node")
        calls, failed = self._calls.slot(labels), self._failed.slot(labels)
        return (calls, failed) if is_failed else (calls,)
