"""The port of retrieval: from a question to the passages that fit it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Passage(NamedTuple):
    """A piece of a document, small enough for a prompt."""

    source: str
    text: str


class Retriever(Protocol):
    """Finds passages."""

    def search(self, question: str, count: int) -> Sequence[Passage]:
        """The passages that fit best, best first."""
        ...

    def close(self) -> None:
        """Give back what the index holds."""
        ...
