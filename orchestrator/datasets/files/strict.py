"""Strict JSON: what the standard reader lets pass is named, and every refusal gets its reason.

The standard library accepts NaN, Infinity, lone surrogates, repeated keys and numbers beyond a
double. It is only ever the explainer here; these are found afterwards and get their pointers.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.datasets.files.refusals import explain_refusal, explain_utf8
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.findings.pointers import pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.datasets.files.refusals import Refusal


class Parsed(NamedTuple):
    """One line, read strictly.

    Attributes:
        value: what it holds; None when it could not be read.
        text: the line as text, without its line end.
        flaws: why it could not be read, or what must not be in it.
        readable: whether `value` means anything.
    """

    value: Any
    text: str
    flaws: list[Flaw]
    readable: bool = False


def read_strictly(line: bytes) -> Parsed:
    """Read one line, and say exactly what is wrong with it. Raises nothing."""
    line = line.rstrip(b"\r\n")
    if b"\x00" in line:
        return _unreadable(Flaw("nul-bytes", column=line.index(b"\x00") + 1))
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        flaw = explain_utf8(line, error)
        return Parsed(None, line.decode("utf-8", "replace"), [flaw])
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        refusal = explain_refusal(text, error)
        return Parsed(None, text, [_at(text, refusal)])
    except RecursionError:
        return Parsed(None, text, [Flaw("nested-too-deep", column=_deepest_safe(line))])
    except ValueError:  # int() refuses thousands of digits
        digits = _THOUSANDS.search(line)
        column = digits.start() + 1 if digits else None
        return Parsed(None, text, [Flaw("number-out-of-range", column=column)])
    return Parsed(value, text, list(_walk(value)), readable=True)


def holds_object(value: object) -> bool:
    """Whether a value is a text that is an object again: encoded twice."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return False
    return isinstance(read_strictly(value.encode("utf-8", "surrogatepass")).value, dict)


def kind_of(value: object) -> str:
    """A JSON value in words: "an object", "a text", "null"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, words in _WORDS.items():
        if isinstance(value, kind):
            return words
    return "a number"


class _Repeated(dict[str, Any]):
    """An object that had a key twice."""

    keys_twice: tuple[str, ...] = ()


class _Constant(float):
    """NaN, Infinity or -Infinity: a number no JSON has."""

    name: str = "NaN"


_WORDS: dict[type, str] = {dict: "an object", list: "an array", str: "a text"}


def _unreadable(flaw: Flaw) -> Parsed:
    return Parsed(None, "", [flaw])


def _at(text: str, refusal: Refusal) -> Flaw:
    column = len(text[: refusal.position].encode("utf-8", "surrogatepass")) + 1
    return Flaw(refusal.code, "", refusal.fields, column)


def _deepest_safe(line: bytes) -> int:
    """The byte at which brackets are nested 100 deep, from 1."""
    depth = 0
    for at, byte in enumerate(line[:100_000]):
        depth += (byte in b"[{") - (byte in b"]}")
        if depth > 100:
            return at + 1
    return 1


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    seen: set[str] = set()
    twice: list[str] = []
    for key, _ in pairs:
        (twice.append if key in seen else seen.add)(key)
    repeated = _Repeated(row)
    repeated.keys_twice = tuple(twice)
    return repeated


def _constant(name: str) -> _Constant:
    constant = _Constant("nan")
    constant.name = name
    return constant


# The standard reader refuses integers of more digits; a double holds integers of so many bits.
_THOUSANDS = re.compile(rb"-?\d{4300}")
_DOUBLE = 1024

_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def _walk(value: Any) -> Iterator[Flaw]:
    """Every value that must not be there; a stack, so that depth cannot hurt."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, str):
            yield from _surrogates(path, item)
        elif isinstance(item, float):
            yield from _numbers(path, item)
        elif isinstance(item, int) and item.bit_length() > _DOUBLE:
            yield Flaw("number-out-of-range", pointer_to(path))
        elif isinstance(item, list):
            stack.extend(((*path, index), inner) for index, inner in enumerate(item))
        elif isinstance(item, dict):
            if isinstance(item, _Repeated):
                for key in item.keys_twice:
                    yield Flaw("duplicate-key", pointer_to((*path, key)), {"key": repr(key)})
            for key, inner in item.items():
                yield from _surrogates((*path, key), key)
                stack.append(((*path, key), inner))


def _numbers(path: tuple[str | int, ...], number: float) -> Iterator[Flaw]:
    if isinstance(number, _Constant):
        yield Flaw("not-a-number", pointer_to(path), {"found": number.name})
    elif math.isinf(number):
        yield Flaw("number-out-of-range", pointer_to(path))


def _surrogates(path: tuple[str | int, ...], text: str) -> Iterator[Flaw]:
    if text.isascii():
        return
    for character in text:
        if "\ud800" <= character <= "\udfff":
            yield Flaw("lone-surrogate", pointer_to(path), {"found": ord(character)})
            return
