"""YAML to plain values with their places: YAML 1.2's core schema, and nothing that executes.

PyYAML only scans and composes here. What a word means is decided below, because YAML 1.1 reads
`no` as false, `on` as true, 1:30 as 90 and 2026-11-20 as a date; here they stay the words they are.
Source: https://yaml.org/spec/1.2.2/, section 10.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.specs.document import Document, Mistake, Place, Steps

if TYPE_CHECKING:
    from pathlib import Path

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_PLAIN = "plain"
_PREFIX = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset({_PLAIN, *(_PREFIX + n for n in ("str", "int", "float", "bool", "null"))})
# Aliases that point at aliases grow a small file without end ("billion laughs").
_MOST_VALUES = 20_000
_TAB = "found character '\\t' that cannot start any token"
_WORDS = {
    _TAB: ("A tab stands where only spaces may.", "indent with spaces"),
    "mapping values are not allowed here": (
        "A colon stands where none may: the line above is no key, or the text needs quotes.",
        'key: "text: with a colon"',
    ),
    "could not find expected ':'": ("A key without a colon.", "key: value"),
    "but found another document": ("A second document begins here (---).", None),
}


class _Loader(yaml.SafeLoader):
    """Composes nodes; a word without quotes and tag keeps the tag `plain`."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


def read_yaml(path: Path, text: str) -> Document:
    """The values of a YAML file, each with its place; mistakes are in the document."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        return Document(path=path, value=None, mistakes=[_of(error)])
    except yaml.reader.ReaderError as error:
        message = f"The character {error.character!r} may not stand in YAML."
        return Document(path=path, value=None, mistakes=[Mistake(message=message)])
    except RecursionError:
        return Document(
            path=path, value=None, mistakes=[Mistake(message="It is nested too deep to be read.")]
        )
    maker = _Maker()
    value = None if node is None else maker.made(node, ())
    return Document(
        path=path,
        value=value,
        values=maker.values,
        keys=maker.keys,
        mistakes=maker.mistakes,
    )


def meaning(text: str) -> Any:
    """What a word without quotes stands for: null, a truth, a number, or itself."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.match(text) and len(text) < 40:
        return int(text)
    return float(text) if _is_decimal(text) else text


class _Maker:
    """From nodes to values."""

    def __init__(self) -> None:
        self.values: dict[Steps, Place] = {}
        self.keys: dict[Steps, Place] = {}
        self.mistakes: list[Mistake] = []
        self._open: list[int] = []
        self._count = 0

    def made(self, node: yaml.Node, steps: Steps) -> Any:
        """The value of a node; None where it has none."""
        self.values.setdefault(steps, _place(node))
        self._count += 1
        if self._count > _MOST_VALUES:
            if self._count == _MOST_VALUES + 1:
                self._wrong(node, (), f"Aliases make this more than {_MOST_VALUES:,} values.")
            return None
        if id(node) in self._open:
            self._wrong(node, steps, "An alias stands inside what it stands for.")
            return None
        self._open.append(id(node))
        try:
            return self._value(node, steps)
        finally:
            self._open.pop()

    def _value(self, node: yaml.Node, steps: Steps) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_PREFIX}map":
            return self._mapping(node, steps)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_PREFIX}seq":
            return [self.made(each, (*steps, index)) for index, each in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _KNOWN_TAGS:
            return node.value if node.tag == f"{_PREFIX}str" else meaning(node.value)
        self._wrong(node, steps, f"The tag {node.tag} is not read here; write plain values.")
        return None

    def _mapping(self, node: yaml.MappingNode, steps: Steps) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, steps, "A key must be a word.")
                continue
            name = key.value
            if name == "<<" and key.tag == _PLAIN:
                merged.update(self._merged(value, steps))
                continue
            inner = (*steps, name)
            if name in made:
                first = self.keys[inner]
                self._wrong(
                    key, inner, f"The key '{name}' stands here twice; first in line {first.line}."
                )
                continue
            self.keys[inner] = _place(key)
            self.values[inner] = _place(value)
            made[name] = self.made(value, inner)
        return {**merged, **made}

    def _merged(self, node: yaml.Node, steps: Steps) -> dict[str, Any]:
        """What `<<: *other` brings; the mapping's own keys win, as do earlier ones of a list."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in reversed(parts):
            value = self.made(part, steps)
            if isinstance(value, dict):
                found.update(value)
            else:
                self._wrong(part, steps, "`<<` takes a mapping.", "<<: *name")
        return found

    def _wrong(self, node: yaml.Node, steps: Steps, message: str, fix: str | None = None) -> None:
        self.mistakes.append(Mistake(message=message, fix=fix, steps=steps, place=_place(node)))


def _is_decimal(text: str) -> bool:
    """Whether it is a number that does not begin with a superfluous 0: 007 stays a word."""
    whole = re.split(r"[.eE]", text.lstrip("+-"))[0]
    return bool(_NUMBER.match(text)) and (whole in {"", "0"} or not whole.startswith("0"))


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _of(error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem)
    message, fix = _WORDS.get(problem, (f"This is not YAML: {problem}.", None))
    return Mistake(
        message=message, fix=fix, place=Place(mark.line + 1, mark.column + 1) if mark else None
    )
