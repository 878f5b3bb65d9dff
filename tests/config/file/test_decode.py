"""A tree of YAML, structured: what is wrong is named and left out, the rest stands."""

import copy
from collections.abc import Mapping
from datetime import date
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config import value_types as v
from slotel.config.file.decode import decode
from slotel.config.file.schema import PARSERS, Document
from slotel.config.sampling import Keep
from slotel.config.slo import Period


class Leaf(NamedTuple):
    size: int
    colour: str | None = None

    def check(self) -> None:
        if self.size > 9 and self.colour is None:
            raise ValueError("a large leaf has a colour")


class Tree(NamedTuple):
    leaves: tuple[Leaf, ...] = ()
    best: Leaf | None = None
    names: Mapping[str, int] = {}
    heights: tuple[int, ...] = (1,)


def number(node):
    if type(node) is not int:
        raise ValueError("expected a number")
    return node


def word(node):
    if type(node) is not str:
        raise ValueError("expected a word")
    return node


def read(tree, kind=Tree):
    return decode(tree, kind, {int: number, str: word})


def test_a_right_tree_is_read_whole():
    tree = {"leaves": [{"size": 1}], "best": None, "names": {"a": 2}, "heights": [3, 4]}
    assert read(tree) == (Tree((Leaf(1),), None, {"a": 2}, (3, 4)), [])


@pytest.mark.parametrize(
    ("tree", "stands", "faults"),
    [
        ({"best": 3, "heights": [2]}, Tree(heights=(2,)), [(("best",), "expected a mapping such as 'name: value', got 3")]),
        ({"heights": [2, "x", 3]}, Tree(heights=(2, 3)), [(("heights", 1), "expected a number")]),
        ({"heights": "23"}, Tree(), [(("heights",), "expected a list, got '23'")]),
        ({"names": {"a": "x", "b": 1, 3: 4}}, Tree(names={"b": 1}), [(("names", "a"), "expected a number"), (("names", 3), "expected a word")]),
        ({"names": [1]}, Tree(), [(("names",), "expected a mapping such as 'name: value', got a list")]),
        ({"leaves": None}, Tree(), [(("leaves",), "expected a list, got nothing")]),
        ({"leaves": [{"colour": "red"}, {"size": 2}]}, Tree((Leaf(2),)), [(("leaves", 0), "size is missing")]),
        ({"leaves": [{"size": 1, "color": "red"}]}, Tree((Leaf(1),)), [(("leaves", 0, "color"), "unknown key (did you mean colour?), known are: colour, size")]),
        ({"best": {"size": 10}}, Tree(), [(("best",), "a large leaf has a colour")]),
        ({3: 1, None: 2}, Tree(), [((3,), "unknown key, known are: best, heights, leaves, names"), ((None,), "unknown key, known are: best, heights, leaves, names")]),
    ],
)  # fmt: skip
def test_what_is_wrong_goes_and_the_rest_stands(tree, stands, faults):
    assert read(tree) == (stands, faults)


def test_what_goes_only_because_a_part_of_it_did_is_no_fault():
    """Neither that the size is missing now, nor that the colour is."""
    assert read({"best": {"size": "x"}}) == (Tree(), [(("best", "size"), "expected a number")])
    assert read({"best": {"size": 10, "colour": 1}}) == (Tree(), [(("best", "colour"), "expected a word")])


def test_a_whole_that_does_not_stand_is_none():
    assert read({"size": "x"}, Leaf) == (None, [(("size",), "expected a number")])
    assert read(3, tuple[int, ...]) == (None, [((), "expected a list, got 3")])


def test_a_tree_that_holds_itself_is_read_as_deep_as_its_type():
    tree = {}
    tree["best"] = tree["names"] = tree
    known = "unknown key, known are: colour, size"
    value, faults = read(tree)
    assert value == Tree()
    assert faults[:3] == [
        (("best", "best"), known),
        (("best", "names"), known),
        (("best",), "size is missing"),
    ]


RIGHT = {
    v.Objective: ["99.9%", "1/2", 0.75],
    v.Limit: ["0.1%", "slo:99%"],
    v.Ratio: [0, 1, "5%"],
    v.Seconds: ["300ms", "2s"],
    v.Window: ["30m"],
    v.SliceLength: ["5m"],
    v.ScrapeInterval: ["30s"],
    v.Name: ["a", "b", "checkout-2"],
    v.Pattern: ["[a-z]+"],
    v.Url: ["", "https://example.org/"],
    v.Values: ["a", ["a", 1]],
    v.Kinds: ["SERVER", ["CLIENT", "INTERNAL"]],
    v.Version: [1],
    v.LateWait: ["1s"],
    v.Label: ["environment", "team"],
    v.Shapes: ["none", ["default", "iban"]],
    Period: ["30d", "quarter"],
    Keep: ["errors", "slow>1s"],
    str: ["a", "b.c", 1, 1.5, True, date(2026, 1, 2)],
    bool: [True, False],
    v.Count: [0, 7],
    v.Tag: ["team", "x.y"],
    v.MetricLabel: ["team", "zone"],
}
"""Kind → nodes that spell it."""

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.dates() | st.binary(max_size=2)
)  # fmt: skip
ODD = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(SCALARS | st.tuples(SCALARS), inner, max_size=3)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=4,
)


def written(kind, odd=ODD):
    """Trees that spell the kind, with something odd here and there."""
    if kind in RIGHT:
        return st.sampled_from(RIGHT[kind]) | odd
    if hasattr(kind, "_fields"):
        kinds = get_type_hints(kind, include_extras=True)
        needed = {name: written(kinds[name], odd) for name in sorted(kinds.keys() - kind._field_defaults)}
        parts = {name: written(item, odd) for name, item in kinds.items() if name not in needed}
        surplus = {} if odd is NOTHING else {"bogus": odd, 3: odd}
        return st.fixed_dictionaries(needed, optional={**parts, **surplus}) | odd
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments) | odd
    if origin is Mapping:
        return st.dictionaries(written(arguments[0], NOTHING), written(arguments[1], odd), max_size=2) | odd
    if origin is tuple:
        return st.lists(written(arguments[0], odd), max_size=3) | odd
    return st.none() | written(arguments[0], odd)


NOTHING = st.nothing()
ANY = written(Document).filter(lambda tree: isinstance(tree, dict))


def node_at(tree, steps):
    for step in steps:
        tree = tree[step]
    return tree


def cut(tree, steps):
    try:
        parent = node_at(tree, steps[:-1])
        del parent[steps[-1]]
    except (KeyError, IndexError, TypeError):
        pass  # gone with a part around it


@given(ANY)
def test_any_tree_gives_a_document_and_each_fault_has_its_place_in_it(tree):
    document, faults = decode(tree, Document, PARSERS)
    assert isinstance(document, Document)
    for steps, text in faults:
        node_at(tree, steps)
        assert text


@given(ANY)
def test_the_rest_is_read_as_if_what_is_wrong_had_never_been_written(tree):
    document, faults = decode(tree, Document, PARSERS)
    rest = copy.deepcopy(tree)
    for steps in sorted(  # two faults of one item cut it once
        {steps for steps, _ in faults},
        key=lambda steps: (len(steps), [x for x in steps if type(x) is int]),
        reverse=True,
    ):
        cut(rest, steps)  # deepest first, later items of a list before earlier ones
    again, left = decode(rest, Document, PARSERS)
    assert again == document
    assert {text for _, text in left} <= {
        "name is missing",
        "route is missing",
        "rate is missing",
        "give one of objective (99.9%) and error_budget (0.1%)",
        "give one of route (/healthz) and name ('SELECT 1')",
    }


@given(written(Document, NOTHING))
def test_what_is_right_stays_to_the_last_key(tree):
    document, faults = decode(tree, Document, PARSERS)
    assert {text for _, text in faults} <= {
        "give one of objective (99.9%) and error_budget (0.1%)",
        "give one of route (/healthz) and name ('SELECT 1')",
    }
    for key in tree.keys() - {"slos"}:
        assert getattr(document, key) == decode({key: tree[key]}, Document, PARSERS)[0]._asdict()[key]
    of_slos = [steps for steps, _ in faults if steps[0] == "slos"]
    assert len(document.slos) == len(tree.get("slos", ())) - len(of_slos)


def test_each_kind_that_a_document_has_has_a_parser_or_parts():
    def kinds(kind):
        yield kind
        if kind not in PARSERS and get_origin(kind) is not Literal:
            inner = (
                get_type_hints(kind, include_extras=True).values()
                if hasattr(kind, "_fields")
                else get_args(kind)
            )
            for item in inner:
                yield from kinds(item)

    found = [
        kind
        for kind in kinds(Document)
        if not hasattr(kind, "_fields") and (not get_args(kind) or hasattr(kind, "__metadata__"))
    ]
    assert set(found) - {type(None), ...} <= set(PARSERS)
    assert set(RIGHT) == set(PARSERS)
