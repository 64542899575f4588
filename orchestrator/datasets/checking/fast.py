"""The rows nearly every good file is made of, known to be good faster than they could be parsed.

What is accepted here has no flaw of form; what is not is looked at by the rules, so being too
careful costs time and never a finding.
"""

from __future__ import annotations

import functools
from itertools import chain, compress
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw

from orchestrator.datasets.checking.outlines import (
    OUTLINES,
    Answer,
    Assistant,
    System,
    Tool,
    User,
    are_said,
    colons_of,
    contents_of,
)
from orchestrator.datasets.checking.rules import NAME
from orchestrator.datasets.checking.sifting import sifted
from orchestrator.datasets.checking.templates import Template
from orchestrator.datasets.checking.toolbox import agrees, disagreement, plain_object
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.datasets.checking.toolbox import Declared, Toolbox

_NULL = Raw(b"null")
_options = attrgetter("tool_calls", "function_call", "refusal")
_name = attrgetter("name")
_opens, _closes = methodcaller("startswith", b"{"), methodcaller("endswith", (b"}", b"}\r"))


class FastReader:
    """Knows the good rows of one file."""

    def __init__(self, method: Method, roles: frozenset[str] | None, toolbox: Toolbox) -> None:
        """Prepare to read.

        Args:
            method: what the rows are for.
            roles: that the target takes; None where it names none.
            toolbox: reads what rows declare.
        """
        self._outlines = OUTLINES[method]
        self._toolbox = toolbox
        self._templates = {
            (spaced, end): Template(method, roles, spaced=spaced, end=end)
            for spaced in (True, False)
            for end in (b"\n", b"\r\n")
        }
        self._takes_tools = method is Method.SUPERVISED and (
            roles is None or {"system", "user", "assistant", "tool"} <= roles
        )

    def good(self, block: bytes) -> Sequence[bool]:
        """Of each line, whether it surely holds a row without a flaw of form.

        Never raises, whatever the bytes are.

        Args:
            block: lines, each with its line feed.
        """
        rows = self._decoded(block) if _is_utf8(block) else None
        if (
            rows
            and not any(self._outlines.has_tools(rows))
            and self._are_plain(rows, block, a_line_each=False)
        ):
            return [True] * len(rows)
        lines = block.split(b"\n")[:-1]
        if rows is None or len(rows) != len(lines) or not _hold_a_row_each(lines):
            rows = [self._decoded_alone(line) for line in lines]
        good = [False] * len(lines)
        read = [number for number, row in enumerate(rows) if row is not None]
        with_tools = self._outlines.has_tools([rows[number] for number in read])
        plain = [n for n, calls in zip(read, with_tools, strict=True) if not calls]
        called = [n for n in compress(read, with_tools) if self._calls_well(rows[n])]
        for some, test in ((plain, self._are_plain), (called, _are_written_once)):
            for number in sifted(some, functools.partial(_passes, test, rows, lines)):
                good[number] = True
        return good

    def _decoded(self, lines: bytes) -> list[Any] | None:
        try:
            return self._outlines.decoder.decode_lines(lines)
        except (ValueError, RecursionError):
            return None

    def _decoded_alone(self, line: bytes) -> Any:
        rows = self._decoded(line) if _is_utf8(line) else None
        return rows[0] if rows and len(rows) == 1 else None

    def _are_plain(self, rows: Sequence[Any], block: bytes, *, a_line_each: bool = True) -> bool:
        """Whether rows surely are plain turns, none of them blank; each in a line of its own."""
        try:
            turns = self._outlines.turns(rows)
        except (ValueError, RecursionError):
            return False
        template = self._templates[_style_of(block)]
        before = template.before(turns)
        if before is None:
            return False
        messages = list(chain.from_iterable(turns))
        contents = list(map(contents_of, messages))
        return (
            template.fits(before, contents, block)
            or (
                a_line_each
                and _have_plain_options(rows, turns, messages)
                and self._outlines.colons(rows, turns) == block.count(b":")
            )
        ) and are_said(contents)

    def _calls_well(self, row: Any) -> bool:
        """Whether a row surely has tools that are declared, called and answered in order."""
        if not self._takes_tools or row.functions is not UNSET:
            return False
        declared = self._toolbox.declared(bytes(row.tools))
        return declared is not None and not declared.flaws and _are_answered(row.messages, declared)


def _passes(
    test: Callable[[Sequence[Any], bytes], bool],
    rows: Sequence[Any],
    lines: Sequence[bytes],
    numbers: Sequence[int],
) -> bool:
    block = b"\n".join([lines[number] for number in numbers]) + b"\n"
    return test([rows[number] for number in numbers], block)


def _is_utf8(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def _hold_a_row_each(lines: Sequence[bytes]) -> bool:
    """Whether as many rows as lines are one in each.

    Inside of a row nothing that ends with a brace comes before something that starts with one.
    """
    return all(map(_opens, lines)) and all(map(_closes, lines))


def _style_of(block: bytes) -> tuple[bool, bytes]:
    """Whether the first line has spaces between its values, and how it ends."""
    line = block[: block.find(b"\n") + 1]
    end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    return line[line.find(b":") + 1 :].startswith(b" "), end


def _have_plain_options(
    rows: Sequence[Any], turns: Sequence[Sequence[Any]], messages: Sequence[Any]
) -> bool:
    """Whether what plain turns may have beside their texts surely is in order."""
    names = set(map(_name, messages)) - {UNSET}
    if not all(map(NAME.fullmatch, names)):
        return False
    answers = [message for message in messages if type(message) in _ANSWERS]
    try:
        if not set(map(_options, answers)) <= _NO_OPTIONS:
            return False
    except TypeError:  # Calls.
        return False
    holders = [getattr(row, "input", row) for row in rows]
    if not all(getattr(each, key, UNSET) is UNSET for each in holders for key in _BESIDE):
        return False
    return all(getattr(said[-1], "weight", UNSET) != 0 for said in turns)


_ANSWERS = {Assistant, Answer}
_NO_OPTIONS = {(UNSET, UNSET, UNSET), (UNSET, UNSET, None)}
_BESIDE = ("functions", "parallel_tool_calls")


def _are_answered(messages: Sequence[Any], declared: Declared) -> bool:
    """Whether turns surely follow each other and calls get their replies."""
    previous = None
    seen: set[str] = set()
    waiting: set[str] = set()
    for message in messages:
        role = type(message)
        if role is Tool:
            if message.tool_call_id not in waiting:
                return False
            waiting.remove(message.tool_call_id)
        elif (
            waiting
            or previous not in _BEFORE.get(role, ())
            or (role is Assistant and not _is_plain_call(message, declared, seen, waiting))
        ):
            return False
        if message.name is not UNSET and not NAME.fullmatch(message.name):
            return False
        previous = role
    return previous is Assistant and messages[-1].weight != 0


def _are_written_once(rows: Sequence[Any], block: bytes) -> bool:
    """Whether rows with tools surely have no key twice, and say something where they must."""
    # A colon of a text may be written as an escape.
    if b"\\u003" in block or colons_of(rows) != block.count(b":"):
        return False
    # An answer that calls may say nothing.
    said = [
        content
        for row in rows
        for message in row.messages
        if (content := message.content) is not UNSET
        and (content != _NULL or type(message) is not Assistant)
    ]
    return are_said(said)


_BEFORE: dict[type, frozenset[type | None]] = {
    System: frozenset({None}),
    User: frozenset({None, System, Assistant}),
    Assistant: frozenset({User, Tool}),
}


def _is_plain_call(message: Any, declared: Declared, seen: set[str], waiting: set[str]) -> bool:
    """Whether an answer is plain, or calls what is declared; takes what must be answered."""
    if message.refusal or message.function_call is not UNSET:
        return False
    if message.tool_calls is UNSET:
        return message.content is not UNSET and message.content != _NULL
    for call in message.tool_calls:
        called = call.function
        rule, arguments = declared.rules.get(called.name), plain_object(called.arguments)
        if rule is None or arguments is None or call.id in seen:
            return False
        if not agrees(arguments, rule) and disagreement(
            arguments, declared.parameters[called.name]
        ):
            return False
        seen.add(call.id)
        waiting.add(call.id)
    return True
