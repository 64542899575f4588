"""Adds up the tokens of a file as it is read, and finds the rows a target would cut."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.finding import Flaw
from orchestrator.datasets.tokens import NoTokenizer, counter_of, row_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.limits import Limits
    from orchestrator.datasets.records import Row
    from orchestrator.datasets.tokens import TokenCounter


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long the rows are, in tokens.

    Attributes:
        longest: (line, tokens) of the longest rows, longest first.
        histogram: (up to, rows) in powers of two.
    """

    smallest: int
    median: int
    largest: int
    longest: Sequence[tuple[int, int]]
    histogram: Sequence[tuple[int, int]]


class TokenTally:
    """Counts as rows come.

    Attributes:
        trouble: why tokens are not counted; None while they are.
    """

    def __init__(self, model: str | None, limits: Limits) -> None:
        """Prepare to count.

        Args:
            model: chooses the vocabulary.
            limits: tell how long an example may be.
        """
        self.trouble: str | None = None
        self._limits = limits
        self._counter: TokenCounter | None = None
        self._total = 0
        self._lengths = array("q")
        self._lines = array("q")
        try:
            self._counter = counter_of(model)
        except NoTokenizer as error:
            self.trouble = str(error)

    @property
    def tokens(self) -> int | None:
        """Training tokens of one pass, each example cut where the target cuts it."""
        return None if self._counter is None else self._total

    @property
    def encoding(self) -> str | None:
        """The vocabulary in use."""
        return self._counter.encoding if self._counter else None

    def __getstate__(self) -> dict[str, Any]:
        """All but the tokenizer, which cannot cross processes."""
        return {**self.__dict__, "_counter": None}

    def absorb(self, later: TokenTally, lines: int) -> None:
        """Take in the part that comes after so many lines."""
        self._total += later._total
        self._lengths.extend(later._lengths)
        self._lines.extend(line + lines for line in later._lines)
        self.trouble = self.trouble or later.trouble

    def add(self, line: int, row: Row) -> list[Flaw]:
        """Count a row; the flaw of one that is too long."""
        if self._counter is None:
            return []
        texts, form = row_texts(row)
        try:
            tokens = sum(self._counter.count(texts)) + form
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            self._counter, self.trouble = None, f"the tokenizer failed on line {line} ({error})"
            return []
        self._lengths.append(tokens)
        self._lines.append(line)
        most = self._limits.max_example_tokens
        self._total += tokens if most is None else min(tokens, most)
        if most is None or tokens <= most:
            return []
        fields = {"found": tokens, "most": most, "target": self._limits.target}
        return [Flaw("example-too-long", "/messages", fields)]

    def lengths(self) -> Lengths | None:
        """The distribution of lengths; None when nothing was counted."""
        if not self._lengths:
            return None
        ordered = sorted(self._lengths)
        by_length = sorted(zip(self._lengths, self._lines, strict=True), reverse=True)[:5]
        return Lengths(
            smallest=ordered[0],
            median=ordered[len(ordered) // 2],
            largest=ordered[-1],
            longest=[(line, tokens) for tokens, line in by_length],
            histogram=_histogram(ordered),
        )


def _histogram(ordered: Sequence[int]) -> list[tuple[int, int]]:
    buckets: dict[int, int] = {}
    for length in ordered:
        edge = 1 << max(length - 1, 1).bit_length()
        buckets[edge] = buckets.get(edge, 0) + 1
    return sorted(buckets.items())
