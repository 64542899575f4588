"""What the parts of a file add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.datasets.content.hashes import LineHashes

if TYPE_CHECKING:
    from orchestrator.datasets.checking.near import NearDuplicates
    from orchestrator.datasets.checking.overview import Overview
    from orchestrator.datasets.checking.tally import TokenTally
    from orchestrator.datasets.content.leaks import Seen
    from orchestrator.datasets.findings.collecting import Collector


@dataclass(kw_only=True)
class Tallied:
    """What a pass adds up, without its tools: small, and fit to cross processes.

    Attributes:
        exact: the hash of each row.
        asked: the hash of each question.
        near: what each row looks like, to find those that are alike.
        seen: the rows as another file is held against them.
    """

    collector: Collector
    tally: TokenTally | None
    overview: Overview
    near: NearDuplicates | None = None
    seen: Seen | None = None
    exact: LineHashes = field(default_factory=LineHashes)
    asked: LineHashes = field(default_factory=LineHashes)
    rows: int = 0
    lines: int = 0
    lf: int = 0
    crlf: int = 0
    interrupted: bool = False

    def add(self, later: Tallied) -> None:
        """Take in the part of the file that comes next; its line numbers start at 1."""
        self.collector.absorb(later.collector, self.lines)
        self.exact.absorb(later.exact, self.lines)
        self.asked.absorb(later.asked, self.lines)
        self.overview.absorb(later.overview)
        if self.tally is not None and later.tally is not None:
            self.tally.absorb(later.tally, self.lines)
        if self.near is not None and later.near is not None:
            self.near.absorb(later.near, self.lines, index=False)
        if self.seen is not None and later.seen is not None:
            self.seen.absorb(later.seen, self.lines)
        self.rows += later.rows
        self.lines += later.lines
        self.lf += later.lf
        self.crlf += later.crlf
