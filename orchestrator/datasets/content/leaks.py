"""Rows of a training file that leak into a file that should be new to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from orchestrator.datasets.content.questions import said_in
from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Preference, User

if TYPE_CHECKING:
    from orchestrator.datasets.records import Row


class Alike(Protocol):
    """Remembers rows, and knows those that are alike."""

    def add(self, line: int, row: Row) -> None:
        """Remember a row."""
        ...

    def absorb(self, later: Self, lines: int) -> None:
        """Remember what was remembered of the part that comes after so many lines."""
        ...

    def empty(self) -> Self:
        """One like it that remembers nothing."""
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

    def empty(self) -> Seen:
        """One like it, for another part of the file."""
        return Seen(self._near.empty() if self._near else None)

    def absorb(self, later: Seen, lines: int) -> None:
        """Remember the rows of the part that comes after so many lines."""
        for mine, theirs in (
            (self._rows, later._rows),
            (self._questions, later._questions),
            (self._words, later._words),
        ):
            for digest, line in theirs.items():
                mine.setdefault(digest, line + lines)
        if self._near is not None and later._near is not None:
            self._near.absorb(later._near, lines)

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
    return tuple(f"{type(m).__name__}\0{text}" for m in messages for text in said_in(m))


def folded(text: str) -> str:
    """Without case, punctuation and spacing: what a reader would call the same."""
    return "".join(filter(str.isalnum, text.casefold()))
