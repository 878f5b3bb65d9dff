"""Decodes a tree of YAML into named tuples. Invalid parts are reported and left out; the others are kept.

Knows no file, line or key: the steps of a fault lead to its place in the tree.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

Steps = tuple[Any, ...]
Fault = tuple[Steps, str]
Parsers = Mapping[Any, Callable[[Any], Any]]

_LEFT_OUT: Final = object()


def decode(tree: Any, kind: Any, parsers: Parsers) -> tuple[Any, list[Fault]]:
    """Return the decoded value (None if nothing of it is valid), and each fault in the tree's order.

    An invalid value is replaced by its default; an invalid item or key is left out alone. A named tuple is left out if
    one of its required fields is, or if its method `check` (optional) raises ValueError. What is left out only because
    a part of it is adds no fault.

    Args:
        kind: one of `parsers`, a Literal of texts, a NamedTuple, `X | None`, `Mapping[K, X]` or `tuple[X, ...]`, of
            such kinds.
        parsers: kind → how a node is parsed; raises ValueError with what was expected instead.

    >>> decode({"a": [1, "x"]}, Mapping[str, tuple[int, ...]], {str: str, int: int})
    ({'a': (1,)}, [(('a', 1), "invalid literal for int() with base 10: 'x'")])
    """
    reader = _Reader(parsers)
    value = reader.read(tree, kind, ())
    return (None if value is _LEFT_OUT else value), reader.faults


def kind_of(value: object) -> str:
    """Return what a value of YAML is, for people."""
    if isinstance(value, Mapping):
        return "a mapping"
    if value is None:
        return "nothing"
    if isinstance(value, AbstractSet):
        return "a set"
    return "a list" if isinstance(value, (list, tuple)) else f"{value!r}"


class _Reader:
    """Reads each kind of node, and collects what is wrong on the way."""

    def __init__(self, parsers: Parsers) -> None:
        self.faults: list[Fault] = []
        self._parsers = parsers

    def read(self, node: Any, kind: Any, steps: Steps) -> Any:
        """Return the node's value, or _LEFT_OUT."""
        parser = self._parsers.get(kind)
        if parser is not None:
            return self._parsed(node, parser, steps)
        if hasattr(kind, "_fields"):
            return self._part(node, kind, steps)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Literal:
            return self._parsed(node, lambda value: _one_of(arguments, self._parsers[str](value)), steps)
        if origin is Mapping:
            return self._mapping(node, arguments[0], arguments[1], steps)
        if origin is tuple:
            return self._items(node, arguments[0], steps)
        return None if node is None else self.read(node, arguments[0], steps)

    def _parsed(self, node: Any, parser: Callable[[Any], Any], steps: Steps) -> Any:
        try:
            return parser(node)
        except Exception as error:  # noqa: BLE001 whatever Python says of a value, it is the value that is wrong
            return self._left_out(steps, str(error) or type(error).__name__)

    def _part(self, node: Any, kind: Any, steps: Steps) -> Any:
        if not isinstance(node, Mapping):
            return self._left_out(steps, f"expected a mapping such as 'name: value', got {kind_of(node)}")
        kinds = get_type_hints(kind, include_extras=True)
        required = kinds.keys() - kind._field_defaults
        given = {}
        for key, item in node.items():
            if key in kinds:
                given[key] = self.read(item, kinds[key], (*steps, key))
            else:
                self._left_out((*steps, key), _unknown(key, kinds))
        for name in sorted(required - given.keys()):
            given[name] = self._left_out(steps, f"{name} is missing")
        standing = {name: value for name, value in given.items() if value is not _LEFT_OUT}
        if not standing.keys() >= required:
            return _LEFT_OUT
        part = kind(**standing)
        try:
            if hasattr(kind, "check"):
                part.check()
        except ValueError as error:
            return _LEFT_OUT if len(standing) < len(given) else self._left_out(steps, str(error))
        return part

    def _mapping(self, node: Any, key_kind: Any, kind: Any, steps: Steps) -> Any:
        if not isinstance(node, Mapping):
            return self._left_out(steps, f"expected a mapping such as 'name: value', got {kind_of(node)}")
        pairs = [
            (self.read(key, key_kind, (*steps, key)), self.read(item, kind, (*steps, key)))
            for key, item in node.items()
        ]
        return {key: value for key, value in pairs if key is not _LEFT_OUT and value is not _LEFT_OUT}

    def _items(self, node: Any, kind: Any, steps: Steps) -> Any:
        if not isinstance(node, list):
            return self._left_out(steps, f"expected a list, got {kind_of(node)}")
        items = [self.read(item, kind, (*steps, index)) for index, item in enumerate(node)]
        return tuple(item for item in items if item is not _LEFT_OUT)

    def _left_out(self, steps: Steps, text: str) -> Any:
        self.faults.append((steps, text))
        return _LEFT_OUT


def _one_of(known: tuple[str, ...], text: str) -> str:
    if text not in known:
        raise ValueError(f"{text!r} is not known: write one of {', '.join(known)}")
    return text


def _unknown(key: object, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    likely = next(iter(get_close_matches(str(key), known, n=1, cutoff=0.7)), "")
    meant = f" (did you mean {likely}?)" if likely else ""
    return f"unknown key{meant}, known are: {', '.join(sorted(known))}"
