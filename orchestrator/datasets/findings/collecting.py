"""Keeps the findings of a run: all counted, the first of each code held."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.datasets.findings.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.datasets.findings.finding import Finding


class Collector:
    """Takes findings as they come.

    Attributes:
        kept: findings held, in order of arrival; at most `most` of each code.
        counts: code → how many there were.
    """

    def __init__(
        self, most: int | None = None, watcher: Callable[[Finding], None] | None = None
    ) -> None:
        """Start empty.

        Args:
            most: findings held of each code; None holds all of them.
            watcher: sees every finding at once, held or not.
        """
        self._most = most
        self._watcher = watcher
        self.kept: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self._severities: Counter[Severity] = Counter()

    def wants(self, code: str) -> bool:
        """Whether another finding of this code would be held or seen."""
        full = self._most is not None and self.counts[code] >= self._most
        return not full or self._watcher is not None

    def count(self, code: str, severity: Severity) -> None:
        """Count a finding that is neither held nor seen."""
        self.counts[code] += 1
        self._severities[severity] += 1

    def add(self, finding: Finding) -> None:
        """Take a finding."""
        full = self._most is not None and self.counts[finding.code] >= self._most
        self.count(finding.code, finding.severity)
        if not full:
            self.kept.append(finding)
        if self._watcher is not None:
            self._watcher(finding)

    def absorb(self, later: Collector, lines: int) -> None:
        """Take in the findings of the part that comes after so many lines."""
        before = Counter(self.counts)
        for finding in later.kept:
            if self._most is None or before[finding.code] < self._most:
                before[finding.code] += 1
                line = None if finding.line is None else finding.line + lines
                self.kept.append(replace(finding, line=line))
        self.counts.update(later.counts)
        self._severities.update(later._severities)

    def sorted(self) -> list[Finding]:
        """The held findings by line; those of the file as a whole come first."""
        return sorted(self.kept, key=lambda finding: (finding.line or 0, finding.column or 0))

    @property
    def errors(self) -> int:
        """How many errors there were."""
        return self._severities[Severity.ERROR]

    @property
    def warnings(self) -> int:
        """How many warnings there were."""
        return self._severities[Severity.WARNING]
