"""Questions that were asked before: with another answer, or with the same one in other case."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Assistant, Chat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.records import Row

#: Rows of a stream, which is read once, whose questions are held to be compared.
HELD_OF_A_STREAM = 20_000
#: Rows of a file that share their question with another row, and are read again to be compared.
READ_AGAIN = 100_000


class Questions:
    """Remembers what was asked and answered.

    Attributes:
        rows: how many rows were compared.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._asked: dict[int, tuple[int, int]] = {}
        self._alike: dict[int, int] = {}
        self.rows = 0

    def compare(self, line: int, row: Row) -> Flaw | None:
        """What an earlier row has in common with this one; None when nothing."""
        if not isinstance(row, Chat):
            return None
        self.rows += 1
        prompt, answer, alike = _fingerprints(row)
        first, answered = self._asked.setdefault(prompt, (line, answer))
        near = self._alike.setdefault(alike, line)
        if first != line:
            if answered == answer:
                return None  # Equal rows are told by their bytes.
            return Flaw("conflicting-answers", "", {"first": first})
        if near != line:
            return Flaw("near-duplicate-row", "", {"first": near})
        return None


def asked_in(rows: Sequence[Row]) -> list[int]:
    """A number for the question of each row, equal where rows are worth comparing; 0 for none."""
    return [_asked(row) if isinstance(row, Chat) else 0 for row in rows]


def _asked(row: Chat) -> int:
    """Of everything before the last message, without case."""
    try:
        said = "\0".join(map(_contents, row.messages[:-1]))
    except TypeError:  # Parts, or no content at all.
        said = "\0".join("\0".join(said_in(each)) for each in row.messages[:-1])
    if said.isascii() or len(said) < _LONG:
        return hash(said.casefold())
    return hash(said.encode().lower())  # Of ASCII letters alone: a tenth of the time.


_LONG = 1000


def _fingerprints(row: Chat) -> tuple[int, int, int]:
    """Hashes of the prompt, of the answer, and of the whole row without case."""
    said = list(map(_contents, row.messages))
    form: tuple[object, ...] = tuple(map(type, row.messages))
    if row.tools or not all(type(text) is str for text in said):
        form = (*form, bytes(row.tools) if row.tools else b"")
        said = ["\0".join(said_in(message)) for message in row.messages]
    names = tuple(filter(None, map(_names, row.messages)))
    prompt = hash((form, names, *said[:-1]))
    return prompt, hash(said[-1]), hash((form, *map(str.casefold, said)))


def said_in(message: object) -> list[str]:
    """The texts of a message and the arguments of its calls."""
    said = texts_of(message)  # type: ignore[arg-type]
    if isinstance(message, Assistant) and message.tool_calls:
        said = [*said, *(call.function.arguments for call in message.tool_calls)]
    return said


_contents, _names = attrgetter("content"), attrgetter("name")
