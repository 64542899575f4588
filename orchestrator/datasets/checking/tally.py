"""Adds up the tokens of a file as it is read, and finds the rows a target would cut."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Preference
from orchestrator.datasets.tokens.vocabularies import NoTokenizer, counter_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.checking.limits import Limits
    from orchestrator.datasets.records import Row
    from orchestrator.datasets.tokens.counting import TokenCounter


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long the rows are, in tokens.

    Attributes:
        longest: (line, tokens) of the longest rows, longest first.
        histogram: (up to, rows) in powers of two.
        cut_rows: rows that are longer than the target reads.
        cut_tokens: what of them it does not read.
    """

    smallest: int
    median: int
    largest: int
    longest: Sequence[tuple[int, int]]
    histogram: Sequence[tuple[int, int]]
    cut_rows: int = 0
    cut_tokens: int = 0


class TokenTally:
    """Counts as rows come.

    Attributes:
        trouble: why tokens are not counted; None while they are.
    """

    def __init__(
        self, model: str | None, limits: Limits, *, size: int = 0, longest: int | None = None
    ) -> None:
        """Prepare to count.

        Args:
            model: chooses the vocabulary.
            limits: tell how long an example may be.
            size: bytes that one process reads, as far as is known.
            longest: the example is asked to be cut at so many tokens.
        """
        self.trouble: str | None = None
        self._limits = limits
        self._counter: TokenCounter | None = None
        self._total = 0
        self._lengths: Counter[int] = Counter()
        self._longest: list[tuple[int, int]] = []
        try:
            self._counter = counter_of(model, size=size)
        except NoTokenizer as error:
            self.trouble = str(error)
        context = self._counter.context if self._counter else None
        most = limits.max_example_tokens if context is None else context
        self._most = min([each for each in (most, longest) if each is not None], default=None)

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
        self._lengths.update(later._lengths)
        for tokens, line in later._longest:
            self._remember(tokens, line - lines)
        self.trouble = self.trouble or later.trouble

    def add(self, line: int, row: Row) -> Flaw | None:
        """Count a row; the flaw of one that is too long."""
        if self._counter is None:
            return None
        try:
            (tokens,) = self._counter.count_rows([row])
            others = self._counter.count_others([row]) if isinstance(row, Preference) else ()
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            self._counter, self.trouble = None, f"the tokenizer failed on line {line} ({error})"
            return None
        self._add_others(others)
        return self._enter(line, tokens)

    def add_all(self, first: int, rows: Sequence[Row]) -> list[tuple[int, Flaw]]:
        """Count the rows of lines that follow each other; lines and flaws of those too long.

        Args:
            first: the line of the first row.
            rows: rows without a flaw.
        """
        counts = self._counts(rows)
        if counts is None:  # One by one, to tell the line.
            flaws = [(line, self.add(line, row)) for line, row in enumerate(rows, first)]
        elif self._are_usual(counts):
            self._lengths.update(counts)
            self._total += sum(counts)
            return []
        else:
            flaws = [(line, self._enter(line, tokens)) for line, tokens in enumerate(counts, first)]
        return [(line, flaw) for line, flaw in flaws if flaw is not None]

    def _counts(self, rows: Sequence[Any]) -> Sequence[int] | None:
        """The tokens of each row; the other answers of pairs are added up already."""
        if self._counter is None:
            return None
        try:
            counts = self._counter.count_rows(rows)
            others = self._counter.count_others(rows) if isinstance(rows[0], Preference) else ()
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            return None
        self._add_others(others)
        return counts

    def _are_usual(self, counts: Sequence[int]) -> bool:
        """Whether none is among the longest so far, and none is cut."""
        longest, highest = self._longest, max(counts)
        is_cut = self._most is not None and highest > self._most
        return len(longest) == _LONGEST and highest <= longest[0][0] and not is_cut

    def _enter(self, line: int, tokens: int) -> Flaw | None:
        self._lengths[tokens] += 1
        longest = self._longest
        if len(longest) < _LONGEST or tokens > longest[0][0]:
            self._remember(tokens, -line)
        most = self._most
        if most is None or tokens <= most:
            self._total += tokens
            return None
        self._total += most
        fields = {"found": tokens, "most": most, "target": self._limits.target}
        return Flaw("example-too-long", "/messages", fields)

    def _add_others(self, others: Sequence[int]) -> None:
        """Hosts bill the file, and so the answers that are not preferred, too."""
        most = self._most
        self._total += sum(others if most is None else (min(each, most) for each in others))

    def lengths(self) -> Lengths | None:
        """The distribution of lengths; None when nothing was counted."""
        if not self._lengths:
            return None
        ordered = sorted(self._lengths.items())
        most = self._most
        cut = {} if most is None else {n: rows for n, rows in ordered if n > most}
        return Lengths(
            smallest=ordered[0][0],
            median=_middle(ordered),
            largest=ordered[-1][0],
            longest=[(-line, tokens) for tokens, line in sorted(self._longest, reverse=True)],
            histogram=_histogram(ordered),
            cut_rows=sum(cut.values()),
            cut_tokens=sum((n - (most or 0)) * rows for n, rows in cut.items()),
        )

    def _remember(self, tokens: int, line: int) -> None:
        push = heapq.heappush if len(self._longest) < _LONGEST else heapq.heappushpop
        push(self._longest, (tokens, line))


_LONGEST = 5


def _middle(ordered: Sequence[tuple[int, int]]) -> int:
    left = sum(rows for _, rows in ordered) // 2
    for length, rows in ordered:
        left -= rows
        if left < 0:
            return length
    return ordered[-1][0]


def _histogram(ordered: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    buckets: dict[int, int] = {}
    for length, rows in ordered:
        edge = 1 << max(length - 1, 1).bit_length()
        buckets[edge] = buckets.get(edge, 0) + rows
    return sorted(buckets.items())
