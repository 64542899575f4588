"""How the rows of a file relate: those that repeat, contradict each other, or are alike."""

from __future__ import annotations

import heapq
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from orchestrator.datasets.content.hashes import verified
from orchestrator.datasets.content.questions import READ_AGAIN, Questions
from orchestrator.datasets.files.reading import cut_lines, opened
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Chat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from orchestrator.datasets.checking.scanning import Scan


def relations(scan: Scan, source: Path | BinaryIO) -> Iterator[tuple[int, Flaw]]:
    """The lines whose rows have something in common with earlier ones.

    A file is read again, to compare what has equal hashes; of a stream the hashes are all there is.

    Args:
        scan: has read the source; is told from which line on nothing is compared.
        source: what it has read.
    """
    if scan.done.interrupted:
        return
    is_whole = "broken-gzip" not in scan.done.collector.counts
    again = source if scan.checks.again and is_whole and isinstance(source, Path) else None
    yield from _repeats(scan, again)
    contradicted = set()
    for line, flaw in _contradictions(scan, again) if again else ():
        contradicted.add(line)
        yield line, flaw
    for line, flaw in scan.done.near.flaws() if scan.done.near else ():
        if line not in contradicted:
            yield line, flaw


def _repeats(scan: Scan, again: Path | None) -> Iterator[tuple[int, Flaw]]:
    repeats = list(scan.done.exact.repeats())
    if not repeats:
        return
    if again is None:
        yield from ((line, Flaw("duplicate-row", "", {"first": first})) for line, first in repeats)
        return
    with opened(again) as source:
        for line, first in verified(repeats, cut_lines(source.stream)):
            yield line, Flaw("duplicate-row", "", {"first": first})


def _contradictions(scan: Scan, again: Path) -> Iterator[tuple[int, Flaw]]:
    """Rows that share a question with a row that is not the same are read again."""
    lines = array("q", scan.done.asked.shared_by_others(scan.done.exact))
    if not lines:
        return
    shared = set(heapq.nsmallest(READ_AGAIN, lines))
    if len(lines) > READ_AGAIN:
        scan.uncompared = max(shared)
    questions, decode = Questions(), msgspec.json.Decoder(Chat).decode
    with opened(again) as source:
        for number, line in enumerate(cut_lines(source.stream), 1):
            if number not in shared:
                continue
            try:
                row = decode(line.removeprefix(BOM))
            except (ValueError, RecursionError):
                continue  # Written as no record is; the schema took it all the same.
            if flaw := questions.compare(number, row):
                yield number, flaw
