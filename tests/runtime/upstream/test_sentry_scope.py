"""A scope that becomes a copy when it is used is, to everyone who uses it, the copy that sentry-sdk would have made."""

import inspect
import sys

import pytest
from sentry_sdk.scope import Scope

from slotel.runtime.upstream.sentry import scope as sentry_scope
from slotel.runtime.upstream.sentry.scope import (
    UnusedScope,
    adds_nothing,
    fork_when_used,
    make_copy,
    processors_of,
    snapshot_of,
)


def a_scope() -> Scope:
    scope = Scope()
    scope.set_tag("of", "the process")
    scope.set_user({"id": "1"})
    scope.set_extra("x", [1])
    scope.set_context("c", {"k": "v"})
    scope.add_event_processor(lambda event, hint: event)
    scope.add_attachment(bytes=b"x", filename="x")
    return scope


def values(scope: Scope) -> dict:
    return {name: getattr(scope, name) for name in Scope.__slots__}


def test_it_has_what_a_copy_has():
    original = a_scope()
    assert values(fork_when_used(original)) == values(original.fork())


def test_nothing_is_copied_until_it_is_used(monkeypatch):
    original, copied = a_scope(), []
    fork = Scope.fork
    monkeypatch.setattr(Scope, "fork", lambda its: copied.append(its) or fork(its))
    scope = fork_when_used(original)
    assert scope.client is original.client
    assert copied == []
    scope.set_tag("own", "1")
    scope.set_tag("own", "2")
    assert copied == [original]


@pytest.mark.parametrize(
    "write", [lambda s: s.set_tag("t", "own"), lambda s: s.set_user({"id": "2"}), lambda s: s.clear()]
)
def test_a_write_stays_in_it_and_is_not_lost(write):
    original, eager = a_scope(), a_scope().fork()
    before = values(original)
    scope = fork_when_used(original)
    write(scope)
    write(eager)
    plain = ("_tags", "_user", "_extras", "_contexts", "_level")
    assert {name: getattr(scope, name) for name in plain} == {name: getattr(eager, name) for name in plain}
    assert values(original) == before


def test_the_preparation_is_of_the_copy_alone():
    original = a_scope()

    def prepare(scope):
        scope.add_event_processor(prepare)

    scope = fork_when_used(original, prepare)
    assert scope._event_processors == [*original._event_processors, prepare]
    assert prepare not in original._event_processors


def test_what_it_never_had_is_no_attribute():
    with pytest.raises(AttributeError, match="'Scope' object has no attribute 'colour'"):
        _ = fork_when_used(a_scope()).colour


def test_its_own_copies_and_forks_are_scopes_like_any_other():
    scope = fork_when_used(a_scope())
    copied = scope.fork()
    make_copy(copied)
    copied.set_tag("own", "1")
    assert isinstance(copied, Scope)
    assert "own" not in scope._tags


def test_a_chain_that_nobody_ends_has_no_depth():
    """Spans that are started and never ended, each in the context of the one before."""
    scope = a_scope()
    for _ in range(sys.getrecursionlimit()):
        scope = fork_when_used(scope)
    assert scope._tags == {"of": "the process"}


def test_a_fork_of_a_fork_stays_as_it_is_at_the_end():
    """An integration forks the scope that a request has: the fork has everything, and nothing of ours."""
    original = a_scope()
    forked = fork_when_used(original).fork()
    forked.set_tag("own", "1")
    assert snapshot_of(forked) is forked
    assert forked._tags == {"of": "the process", "own": "1"}
    assert (
        [*processors_of(forked)] == [*processors_of(fork_when_used(original))] == original._event_processors
    )


def test_a_scope_of_the_apps_own_class_is_copied_at_once():
    class Own(Scope):
        pass

    original = Own()
    forked = fork_when_used(original)
    assert type(forked) is Own
    assert forked is not original


def test_where_scopes_have_no_slots_they_are_copied_at_once(monkeypatch):
    monkeypatch.setattr(sentry_scope, "_CAN_WAIT", False)
    original = a_scope()
    prepared = []
    forked = fork_when_used(original, prepared.append)
    assert type(forked) is Scope
    assert prepared == [forked]
    assert forked is not original


ATTACHED = {
    name: True
    for name in ("add_to_transactions",)
    if name in inspect.signature(Scope.add_attachment).parameters
}
"""Without it, as in sentry-sdk 3, an attachment goes with errors alone; a scope that has one says something all the same."""
SAYS = {
    "tag": lambda s: s.set_tag("a", "b"),
    "extra": lambda s: s.set_extra("a", "b"),
    "context": lambda s: s.set_context("a", {"b": 1}),
    "user": lambda s: s.set_user({"id": "1"}),
    "level": lambda s: s.set_level("error"),
    "fingerprint": lambda s: setattr(s, "fingerprint", ["a"]),
    "attachment": lambda s: s.add_attachment(bytes=b"x", filename="x", **ATTACHED),
}


@pytest.mark.parametrize("say", SAYS)
def test_a_scope_that_would_change_a_transaction_says_something(say):
    scope = Scope().fork()
    assert adds_nothing(scope)
    SAYS[say](scope)
    changed = {}
    assert applied(scope, changed) != EVENT or changed["attachments"] or not ATTACHED
    assert not adds_nothing(Scope(), scope)


@pytest.mark.parametrize(
    "write", [
        lambda s: s.add_breadcrumb({"message": "m"}), lambda s: s.set_transaction_name("n", source="task"),
        lambda s: s.clear_breadcrumbs(), lambda s: s.set_client(None),
    ],
)  # fmt: skip
def test_one_that_says_nothing_would_change_no_transaction(write):
    scope = Scope()
    write(scope)
    assert adds_nothing(scope)
    assert applied(scope, {}) == applied(Scope(), {}) == EVENT


def test_a_scope_of_a_class_of_the_apps_own_may_say_anything():
    class Own(Scope):
        pass

    assert not adds_nothing(Own())


@pytest.mark.parametrize("say", SAYS)
def test_what_is_said_after_the_end_of_a_request_is_not_in_its_scopes(say):
    original, prepared = Scope(), []
    original.add_event_processor(print)
    used_later = fork_when_used(original, prepared.append)
    ended, then = snapshot_of(used_later), original.fork()
    assert isinstance(ended, UnusedScope)
    for scope in (original, used_later):
        SAYS[say](scope)
    made = ended.copied()
    told = [*sentry_scope._SAYS, "_event_processors"]
    assert [getattr(made, name) for name in told] == [getattr(then, name) for name in told]
    assert prepared[-1] is made


@pytest.mark.parametrize("say", SAYS)
def test_what_the_process_has_said_is_in_the_scopes_of_a_request_that_never_used_them(say):
    original = Scope()
    SAYS[say](original)
    ended, then = snapshot_of(fork_when_used(original)), original.fork()
    original.clear()
    said = [getattr(then, name) for name in sentry_scope._SAYS]
    assert [getattr(ended, name) for name in sentry_scope._SAYS] == said


EVENT = {
    "type": "transaction",
    "transaction": "t",
    "transaction_info": {"source": "route"},
    "contexts": {"trace": {}},
}


def applied(scope, hint):
    made = scope.apply_to_event({**EVENT, "contexts": {"trace": {}}}, hint)
    made.pop("breadcrumbs", None)  # sentry-sdk 3 adds them; slotel takes them out of a transaction
    return made
