"""BM25 over passages, by SQLite's FTS5: nothing to install, and the same order every time.

Terms that occur in more than a twentieth of the passages are dropped from a question: they hardly
move the order and cost most of the time. Every term is quoted, so that no text is ever syntax.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.domain.comparing.retrieval import Passage
from orchestrator.store.database import sqlite_module

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMMON_SHARE = 0.05
# In few passages every word is common, and dropping them would leave nothing.
_FEWEST_TO_PRUNE = 100
_MOST_TERMS = 64
_WORD = re.compile(r"\w+")


class Fts5Retriever:
    """The port `Retriever` over an index in memory."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        """Index the passages."""
        self._connection = sqlite_module().connect(":memory:", check_same_thread=False)
        self._connection.execute(
            "CREATE VIRTUAL TABLE passages USING fts5(text, source UNINDEXED, tokenize='unicode61')"
        )
        self._connection.executemany(
            "INSERT INTO passages(text, source) VALUES (?, ?)",
            ((p.text, p.source) for p in passages),
        )
        (self.count,) = self._connection.execute("SELECT count(*) FROM passages").fetchone()
        self._common = self._frequent()

    def search(self, question: str, count: int) -> list[Passage]:
        """The passages that fit best, best first; none when no word of the question occurs."""
        terms = list(dict.fromkeys(_WORD.findall(question.casefold())))
        rare = [term for term in terms if term not in self._common] or terms
        if not rare:
            return []
        query = " OR ".join(f'"{term}"' for term in rare[:_MOST_TERMS])
        rows = self._connection.execute(
            "SELECT source, text FROM passages WHERE passages MATCH ? ORDER BY rank, rowid LIMIT ?",
            (query, count),
        )
        return [Passage(source, text) for source, text in rows]

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def _frequent(self) -> frozenset[str]:
        if self.count < _FEWEST_TO_PRUNE:
            return frozenset()
        self._connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab('passages', 'row')")
        rows = self._connection.execute(
            "SELECT term FROM terms WHERE doc > ?", (_COMMON_SHARE * self.count,)
        )
        return frozenset(term for (term,) in rows)
