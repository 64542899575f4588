"""What is asked of a file, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.datasets.content.leaks import Seen
    from orchestrator.datasets.findings.finding import Finding
    from orchestrator.datasets.records import Row


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What is asked of a file.

    Attributes:
        target: whose rules hold.
        method: what the rows are for.
        model: chooses the vocabulary that tokens are counted with.
        keep: findings held of each code; None holds all of them.
        count_tokens: also count tokens.
        content: also look into the texts, and for rows that repeat.
        again: the source can be read again, to compare rows that share a question.
        size: bytes that one process reads, as far as is known.
        longest: tokens at which the training is asked to cut an example.
        task: classification tells how often each answer is given.
        near: also look for rows that nearly repeat, with the extra `near`.
        partial: an interruption ends the reading, and what was found is kept.
    """

    target: str = "openai"
    method: Method = Method.SUPERVISED
    model: str | None = None
    keep: int | None = None
    count_tokens: bool = True
    content: bool = True
    again: bool = False
    size: int = 0
    longest: int | None = None
    task: str | None = None
    near: bool = False
    partial: bool = False


@dataclass(kw_only=True)
class Listeners:
    """Who hears of rows and findings as they come."""

    training: Seen | None = None
    remember: Seen | None = None
    on_finding: Callable[[Finding], None] | None = None
    on_row: Callable[[bytes], None] | None = None
    on_typed: Callable[[int, Row], None] | None = None
    on_bytes: Callable[[int], None] | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nobody waits for a row or a finding: several processes may read."""
        heard = (self.on_row, self.on_typed, self.on_finding)
        return all(each is None for each in heard)

    def of_a_part(self) -> Listeners:
        """Those of another process, which tells at its end what it heard."""
        seen = self.remember.empty() if self.remember else None
        return Listeners(training=self.training, remember=seen)
