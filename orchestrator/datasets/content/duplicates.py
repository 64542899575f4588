"""Rows that are there twice, questions with two answers, and rows that leak between splits."""

from __future__ import annotations

import hashlib
from array import array
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Assistant, Chat, Preference, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.datasets.records import Row

#: Up to here questions are compared too; beyond, rows are compared byte by byte only.
COMPARED_ROWS = 20_000
_PER_PASS = 200_000


class Repeat(NamedTuple):
    """A line that repeats an earlier one."""

    line: int
    first: int


class ExactDuplicates:
    """Finds lines that are equal byte for byte, in 8 bytes a line."""

    def __init__(self) -> None:
        """Start empty."""
        self._hashes = array("q")

    def add(self, line: int, row: bytes) -> None:
        """Take a row without its line end; lines come about in order, and some not at all."""
        self._fill(line)
        self._hashes[line - 1] = hash(row) or 1

    def absorb(self, later: ExactDuplicates, lines: int) -> None:
        """Take in the rows of the part that comes after so many lines."""
        self._fill(lines)
        self._hashes.extend(later._hashes)

    def _fill(self, lines: int) -> None:
        """A line without a row has the hash 0, which no row has."""
        if (missing := lines - len(self._hashes)) > 0:
            self._hashes.frombytes(bytes(8 * missing))

    def repeats(self) -> Iterator[Repeat]:
        """Every line whose hash an earlier line has; 64 bits, so compare the lines to be sure."""
        passes = 1 + len(self._hashes) // _PER_PASS
        for share in range(passes):
            first: dict[int, int] = {}
            for line, digest in enumerate(self._hashes, 1):
                if digest and digest % passes == share:
                    before = first.setdefault(digest, line)
                    if before != line:
                        yield Repeat(line, before)


def verified(repeats: Iterable[Repeat], lines: Iterable[bytes]) -> Iterator[Repeat]:
    """Those repeats whose lines are the same indeed.

    Args:
        repeats: lines with the same hash.
        lines: every line of the file, from the first.
    """
    first_of = {repeat.line: repeat.first for repeat in repeats}
    firsts, seen = set(first_of.values()), dict[int, bytes]()
    for number, line in enumerate(lines, 1):
        if number in firsts:
            seen[number] = _fingerprint(line)
        elif number in first_of and seen.get(first_of[number]) == _fingerprint(line):
            yield Repeat(number, first_of[number])


def _fingerprint(line: bytes) -> bytes:
    return hashlib.blake2b(line.removeprefix(BOM).strip(b" \t\r\n"), digest_size=16).digest()


class Questions:
    """Remembers what was asked and answered, for the first COMPARED_ROWS rows."""

    def __init__(self) -> None:
        """Start empty."""
        self._asked: dict[int, tuple[int, int]] = {}
        self._alike: dict[int, int] = {}
        self.rows = 0

    def compare(self, line: int, row: Row) -> Flaw | None:
        """What an earlier row has in common with this one; None when nothing."""
        if not isinstance(row, Chat) or self.rows >= COMPARED_ROWS:
            return None
        self.rows += 1
        prompt, answer, alike = _fingerprints(row)
        first, answered = self._asked.setdefault(prompt, (line, answer))
        near = self._alike.setdefault(alike, line)
        if first != line:
            if answered == answer:
                return None  # Equal rows are told by ExactDuplicates.
            return Flaw("conflicting-answers", "", {"first": first})
        if near != line:
            return Flaw("near-duplicate-row", "", {"first": near})
        return None


class Alike(Protocol):
    """Remembers rows, and knows those that are alike."""

    def add(self, line: int, row: Row) -> None:
        """Remember a row."""
        ...

    def alike(self, row: Row) -> tuple[int, float] | None:
        """The line of a remembered row that is alike, and how much."""
        ...


class Seen:
    """The rows of a training file, to hold a validation file against."""

    def __init__(self, near: Alike | None = None) -> None:
        """Start empty.

        Args:
            near: also looks for questions that are alike.
        """
        self._near = near
        self._rows: dict[int, int] = {}
        self._questions: dict[int, int] = {}
        self._words: dict[int, int] = {}

    def add(self, line: int, row: Row) -> None:
        """Remember a training row."""
        asked = question_of(row)
        if self._near is not None:
            self._near.add(line, row)
        self._rows.setdefault(hash(_everything(row)), line)
        if asked.strip():
            self._questions.setdefault(hash(asked), line)
            self._words.setdefault(hash(folded(asked)), line)

    def leak(self, row: Row) -> Flaw | None:
        """How a validation row is known from training; None when it is new."""
        asked = question_of(row)
        if (line := self._rows.get(hash(_everything(row)))) is not None:
            return Flaw("leaked-row", "", {"first": line})
        if (line := self._questions.get(hash(asked))) is not None:
            return Flaw("leaked-prompt", "", {"first": line})
        if (line := self._words.get(hash(folded(asked)))) is not None:
            return Flaw("leaked-near-duplicate", "", {"first": line})
        if self._near is not None and (found := self._near.alike(row)):
            return Flaw("leaked-near-duplicate", "", {"first": found[0]})
        return None


def question_of(row: Row) -> str:
    """What the users of a row ask, without instructions and answers."""
    messages = row.input.messages if isinstance(row, Preference) else row.messages
    return "\n".join(
        text for message in messages if isinstance(message, User) for text in texts_of(message)
    )


def _everything(row: Row) -> tuple[str, ...]:
    if isinstance(row, Preference):
        messages = [*row.input.messages, *row.preferred_output, *row.non_preferred_output]
    else:
        messages = [*row.messages]
    return tuple(f"{type(m).__name__}\0{text}" for m in messages for text in _said(m))


def _said(message: object) -> list[str]:
    said = texts_of(message)  # type: ignore[arg-type]
    if isinstance(message, Assistant) and message.tool_calls:
        said = [*said, *(call.function.arguments for call in message.tool_calls)]
    return said


def _fingerprints(row: Chat) -> tuple[int, int, int]:
    """Hashes of the prompt, of the answer, and of the whole row without case."""
    said = list(map(_contents, row.messages))
    form: tuple[object, ...] = tuple(map(type, row.messages))
    if row.tools or not all(type(text) is str for text in said):
        form = (*form, bytes(row.tools) if row.tools else b"")
        said = ["\0".join(_said(message)) for message in row.messages]
    names = tuple(filter(None, map(_names, row.messages)))
    prompt = hash((form, names, *said[:-1]))
    return prompt, hash(said[-1]), hash((form, *map(str.casefold, said)))


_contents, _names = attrgetter("content"), attrgetter("name")


def folded(text: str) -> str:
    """Without case, punctuation and spacing: what a reader would call the same."""
    return "".join(filter(str.isalnum, text.casefold()))
