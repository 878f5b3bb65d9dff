"""An answer is kept where the test that asked has passed, and asked for anew where one has failed with it."""

import sys

import pytest

from support import kept as answers
from support.kept import kept, run_kept

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def room(tmp_path, monkeypatch):
    """One of this test, whatever is asked for by others, and in `make long`, too."""
    monkeypatch.delenv("LONG", raising=False)
    monkeypatch.setattr(answers, "ROOM", tmp_path / "room")
    monkeypatch.setattr(answers, "_new", {})
    monkeypatch.setattr(answers, "_read", set())


def asked_again(outcome):
    """Whether a question is asked again after a test with the first answer has ended."""
    assert kept(b"question", lambda: "first") == "first"
    answers.test_has(outcome)
    return kept(b"question", lambda: "second") == "second"


@pytest.mark.parametrize(("outcome", "expected"), [("passed", False), ("failed", True), ("skipped", True)])
def test_an_answer_is_kept_of_a_test_that_has_passed(outcome, expected):
    assert asked_again(outcome) is expected


def test_a_test_that_fails_with_a_kept_answer_has_it_asked_anew():
    assert not asked_again("passed")
    answers.test_has("failed")
    assert asked_again("failed")


@pytest.mark.parametrize(("name", "value"), [("LONG", "1"), ("PYTEST_CURRENT_TEST", None)])
def test_in_make_long_and_outside_of_tests_each_question_is_asked(monkeypatch, name, value):
    assert not asked_again("passed")
    monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    assert kept(b"question", lambda: "third") == "third"


def test_what_a_test_does_with_an_answer_is_not_kept():
    kept(b"question", lambda: {"a": 1}).clear()
    answers.test_has("passed")
    assert kept(b"question", dict) == {"a": 1}


def test_an_answer_that_nobody_has_read_for_long_is_removed(monkeypatch):
    kept(b"question", lambda: "first")
    answers.test_has("passed")
    monkeypatch.setattr(answers, "UNREAD", -60)
    kept(b"another", lambda: "first")
    answers.test_has("passed")
    assert list(answers.ROOM.iterdir()) == []


def test_what_a_program_reads_is_part_of_the_question_and_the_tests_folder_is_not(tmp_path):
    said = []
    for number, (folder, text, given) in enumerate(
        [("a", "x", ""), ("b", "x", ""), ("c", "y", ""), ("d", "x", "z")]
    ):
        path = tmp_path / folder / "read.py"
        path.parent.mkdir()
        path.write_text(f"import os; print(os.getpid(), '{text}')")
        said.append(run_kept([sys.executable, str(path)], given=given, elsewhere=path.parent).stdout)
        assert answers._new or number == 1
        answers.test_has("passed")
    assert said[1] == said[0]
    assert len(set(said)) == 3
