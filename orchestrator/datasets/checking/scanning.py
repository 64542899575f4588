"""One pass over the lines of a file, or of a part of it; parts add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from orchestrator.datasets.checking.checks import Checks, Listeners
from orchestrator.datasets.checking.limits import limits_of
from orchestrator.datasets.checking.near import NearDuplicates
from orchestrator.datasets.checking.overview import Overview
from orchestrator.datasets.checking.reader import Reading, RowReader
from orchestrator.datasets.checking.tallied import Tallied
from orchestrator.datasets.checking.tally import TokenTally
from orchestrator.datasets.content.questions import HELD_OF_A_STREAM, Questions, asked_in
from orchestrator.datasets.files.reading import (
    DAMAGED,
    LONGEST_LINE,
    blocks,
    skip_rest_of_line,
)
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.findings.codes import CATALOGUE, found
from orchestrator.datasets.findings.collecting import Collector
from orchestrator.datasets.findings.finding import Severity
from orchestrator.datasets.findings.pointers import offset_of

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence

    from orchestrator.datasets.findings.finding import Flaw
    from orchestrator.datasets.records import Row


_LF, _SPACE = 10, b" \t\r\n"
# Where a line is this long there is nothing to save.
_LONG = 1 << 18


class Scan:
    """Reads lines and finds what is wrong with each.

    Attributes:
        checks: what is asked.
        listeners: who hears of it.
        done: what they add up to.
        uncompared: the line after which questions were not compared; 0 where all were.
    """

    def __init__(self, checks: Checks, listeners: Listeners | None = None) -> None:
        """Prepare to read.

        Args:
            checks: what is asked.
            listeners: who hears of rows and findings.
        """
        self.checks = checks
        self.listeners = listeners or Listeners()
        self._limits = limits_of(checks.target, checks.method)
        self._reader = RowReader(checks.method, self._limits, content=checks.content)
        self._read = self.uncompared = 0
        heard = self.listeners
        self._tells = bool(heard.training or heard.remember or heard.on_typed or checks.near)
        self._counts_alone = not (
            self._tells or heard.on_row or checks.content or checks.count_tokens
        )
        self.questions = Questions()
        self.done = Tallied(
            overview=Overview(checks.task),
            near=NearDuplicates() if checks.near else None,
            seen=self.listeners.remember,
            collector=Collector(checks.keep, self.listeners.on_finding),
            tally=TokenTally(checks.model, self._limits, size=checks.size, longest=checks.longest)
            if checks.count_tokens
            else None,
        )

    def read(self, stream: io.BufferedReader[Any]) -> Tallied:
        """Every line to the end; damage to a gzip stream is a finding."""
        try:
            self._read_lines(stream)
        except DAMAGED as error:
            self.add("broken-gzip", line=self.done.lines + 1, reason=str(error))
        except KeyboardInterrupt:
            if not self.checks.partial:
                raise
            self.done.interrupted = True
        return self.done

    def on_bytes(self, times: int = 1) -> Callable[[int], None] | None:
        """Who is told of bytes read; each stands for several where others read as fast."""
        told = self.listeners.on_bytes
        return (lambda many: told(many * times)) if told else None

    def add(self, code: str, *, line: int | None = None, **fields: Any) -> None:
        """Add a finding with the target's own severity."""
        severity = self._severity(code)
        self.done.collector.add(found(code, line=line, severity=severity, **fields))

    def report(self, number: int, flaws: Sequence[Flaw], line: bytes = b"", shift: int = 0) -> None:
        """Add the flaws of a line.

        Args:
            number: of the line.
            flaws: what is wrong with it.
            line: its bytes, to find columns in; empty for none.
            shift: bytes before them that were left out.
        """
        for flaw in flaws:
            severity = self._severity(flaw.code)
            if not self.done.collector.wants(flaw.code):
                self.done.collector.count(flaw.code, severity)
                continue
            column = flaw.column if flaw.column is not None else _column(line, flaw.pointer)
            self.done.collector.add(
                found(
                    flaw.code,
                    line=number,
                    column=column + shift if column is not None else None,
                    pointer=flaw.pointer,
                    severity=severity,
                    **flaw.fields,
                )
            )

    def _read_lines(self, stream: io.BufferedReader[Any]) -> None:
        """Rows without a flaw of form are taken many at once, the others one by one; all in order."""
        for block in blocks(stream):
            first, is_whole = self._read + 1, block[-1] == _LF
            if is_whole and len(block) <= _LONG:
                good = self._reader.good(block)
            else:
                good = [False] * (block.count(b"\n") + (not is_whole))
            self._read += len(good)
            if all(good):
                self._take_all(first, len(good), block)
                continue
            lines, start = block.split(b"\n"), 0
            for at in (at for at, is_good in enumerate(good) if not is_good):
                self._take_some(first + start, lines[start:at])
                self._read_line(stream, first + at, lines[at] + b"\n" * (at + 1 < len(lines)))
                start = at + 1
            self._take_some(first + start, lines[start : len(good)])

    def _take_some(self, first: int, lines: Sequence[bytes]) -> None:
        """Rows without a flaw of form, of a block that holds others, too."""
        if lines:
            self._take_all(first, len(lines), b"\n".join([*lines, b""]))

    def _take_all(self, first: int, many: int, block: bytes) -> None:
        """Rows without a flaw of form, each in a line that ends with a line feed."""
        crlf = block.count(b"\r\n") if b"\r" in block else 0
        self.done.lines = first + many - 1
        self.done.crlf += crlf
        self.done.lf += many - crlf
        if self._counts_alone:
            self.done.rows += many
            return
        rows, flaws = self._reader.texts(block)
        lines, start = block.split(b"\n"), 0
        for at in flaws:
            self._take_clean(first + start, lines[start:at], rows[start:at])
            self._take(first + at, lines[at], Reading(rows[at], flaws[at]))
            start = at + 1
        self._take_clean(first + start, lines[start:many], rows[start:])

    def _take_clean(self, first: int, lines: Sequence[bytes], rows: Sequence[Row]) -> None:
        """Rows without any flaw, in lines that follow each other."""
        if not rows:
            return
        self.done.rows += len(rows)
        if self.listeners.on_row:
            for line in lines:
                self.listeners.on_row(line.strip(_SPACE))
        if self.done.tally:
            for number, flaw in self.done.tally.add_all(first, rows):
                self.report(number, [flaw])
        self._look_at(first, lines, rows)

    def _read_line(self, stream: BinaryIO, number: int, line: bytes) -> None:
        self.done.lines = number
        if len(line) > LONGEST_LINE or (len(line) == LONGEST_LINE and line[-1] != _LF):
            if line[-1] != _LF:
                skip_rest_of_line(stream)
            self.done.rows += 1
            self.add("line-too-long", line=number, most=LONGEST_LINE)
            return
        if line[-1] == _LF:
            if line[-2:-1] == b"\r":
                self.done.crlf += 1
            else:
                self.done.lf += 1
        if number == 1 and line.startswith(BOM):
            self.add("byte-order-mark", line=1, column=1)
            self._take(number, line[3:], self._reader.read(line[3:]), shift=3)
        else:
            self._take(number, line, self._reader.read(line))

    def _take(self, number: int, line: bytes, reading: Reading, shift: int = 0) -> None:
        row, flaws = reading
        if row is None and not line.strip():
            self.add("blank-line", line=number)
            return
        self.done.rows += 1
        if self.listeners.on_row:
            self.listeners.on_row(line.strip(_SPACE))
        if flaws:
            self.report(number, flaws, line, shift)
        if row is None:
            return
        tally = self.done.tally
        if tally and (cut := tally.add(number, row)):
            self.report(number, [cut])
        self._look_at(number, [line], [row], flaws)

    def _look_at(
        self, first: int, lines: Sequence[bytes], rows: Sequence[Row], flaws: Sequence[Flaw] = ()
    ) -> None:
        """What is asked of the rows of lines that follow each other, and of how they relate."""
        if self.checks.content:
            self.done.exact.extend(first, [hash(line.strip(_SPACE)) for line in lines])
            self.done.overview.extend(rows)
            if not flaws:
                self._compare(first, rows)
        if self._tells:
            for number, row in enumerate(rows, first):
                self._tell(number, row, flaws)

    def _compare(self, first: int, rows: Sequence[Row]) -> None:
        if self.checks.again:
            self.done.asked.extend(first, asked_in(rows))
            return
        for number, row in enumerate(rows, first):
            if self.questions.rows >= HELD_OF_A_STREAM:
                self.uncompared = self.uncompared or number - 1
            elif flaw := self.questions.compare(number, row):
                self.report(number, [flaw])

    def _tell(self, number: int, row: Row, flaws: Sequence[Flaw]) -> None:
        """One row to those who remember it or look for it."""
        heard = self.listeners
        if not flaws:
            if self.done.near:
                self.done.near.sign(number, row)
            if heard.training and (leak := heard.training.leak(row)):
                self.report(number, [leak])
        if any(self._severity(flaw.code) is Severity.ERROR for flaw in flaws):
            return
        if heard.remember:
            heard.remember.add(number, row)
        if heard.on_typed:
            heard.on_typed(number, row)

    def _severity(self, code: str) -> Severity:
        return self._limits.severities.get(code) or CATALOGUE[code].severity


def _column(line: bytes, pointer: str) -> int | None:
    """The byte at which the value starts, from 1; its object's where the value is absent."""
    if not line or not pointer:
        return 1 if line else None
    text = line.decode("utf-8", "replace")
    at = offset_of(text, pointer)
    if at is None:
        at = offset_of(text, pointer.rpartition("/")[0])
    return None if at is None else len(text[:at].encode("utf-8", "surrogatepass")) + 1
