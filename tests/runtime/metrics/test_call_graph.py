"""Whom a service calls: the called side's name, and a bound on how many of them have a series."""

import pytest

from slotel.runtime.metrics.call_graph import MOST, OTHERS, CallGraph, peer_of
from slotel.runtime.metrics.store.store import Store

CASES = {
    "a service that the app names": ({"peer.service": "stock", "server.address": "10.0.0.7"}, ("stock", "virtual_node")),
    "a host": ({"server.address": "payments.example"}, ("payments.example", "virtual_node")),
    "a service of Kubernetes": ({"server.address": "stock.shop.svc"}, ("stock", "virtual_node")),
    "the same by its full name": ({"net.peer.name": "stock.shop.svc.cluster.local"}, ("stock", "virtual_node")),
    "a database by its name": ({"db.system.name": "postgresql", "db.namespace": "orders"}, ("orders", "database")),
    "a database without one": ({"db.system": "redis", "server.address": "10.0.0.8"}, ("redis", "database")),
    "a queue": ({"messaging.system": "kafka", "messaging.destination.name": "orders"}, ("orders", "messaging_system")),
    "a queue made up for one reply": (
        {"messaging.system": "rabbitmq", "messaging.destination.name": "amq.gen-1", "messaging.destination.temporary": True},
        ("rabbitmq", "messaging_system"),
    ),
    "a gRPC service without an address": ({"rpc.service": "shop.Stock"}, ("shop.Stock", "virtual_node")),
    "a name that is no text": ({"peer.service": 7}, ("7", "virtual_node")),
    "nobody": ({"http.request.method": "GET"}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_called_side_is_named_by_what_the_span_says(case):
    attributes, expected = CASES[case]
    assert peer_of(attributes) == expected


def test_beyond_the_bound_the_called_sides_are_one_and_no_call_is_lost():
    store = Store()
    graph = CallGraph(store, "shop", str)
    for number in range(3 * MOST):
        for cell in graph.cells(peer_of({"server.address": f"10.0.0.{number}"}), is_failed=number % 2 == 0):
            store.cells[cell] += 1
    families = {family.name: family.series for family in store.snapshot()}
    calls, failed = families["traces_service_graph_request"], families["traces_service_graph_request_failed"]
    assert sum(row[0] for row in calls.values()) == 3 * MOST
    assert sum(row[0] for row in failed.values()) == 3 * MOST / 2
    assert len(calls) <= MOST + 1 and calls["shop", OTHERS, "virtual_node"][0] >= 2 * MOST - 1
