"""Validate a dataset: every error with its line, its pointer and its mend, before upload."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.datasets.checking.checks import Checks, Listeners
from orchestrator.datasets.checking.limits import limits_of
from orchestrator.datasets.checking.relations import relations
from orchestrator.datasets.checking.scanning import Scan
from orchestrator.datasets.files.reading import opened
from orchestrator.datasets.tokens.vocabularies import doubt_of
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.datasets.checking.limits import Limits
    from orchestrator.datasets.checking.tally import Lengths
    from orchestrator.datasets.content.leaks import Seen
    from orchestrator.datasets.files.reading import Source
    from orchestrator.datasets.findings.finding import Finding
    from orchestrator.datasets.records import Row

KEPT_PER_CODE = 1000
#: Bytes of a file below which a second process costs more than it saves.
WORTH_A_PROCESS = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The verdict on one file.

    Attributes:
        rows: lines that are not blank.
        findings: by line; of each code at most as many as were asked for.
        counts: code → how many there are in all.
        errors: how many findings are errors, held or not.
        tokens: training tokens of one pass; None when not counted.
        encoding: the vocabulary they were counted with.
        lengths: tokens a row; None when not counted.
        interrupted: the file was not read to its end.
    """

    name: str
    target: str
    method: Method
    rows: int = 0
    findings: Sequence[Finding] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0
    warnings: int = 0
    tokens: int | None = None
    encoding: str | None = None
    lengths: Lengths | None = None
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """No finding is an error, and the whole file was read."""
        return self.errors == 0 and not self.interrupted


def validate(
    source: Path | BinaryIO,
    *,
    target: str = "openai",
    method: Method | str = Method.SUPERVISED,
    model: str | None = None,
    longest: int | None = None,
    split: str = "train",
    keep: int | None = KEPT_PER_CODE,
    count_tokens: bool = True,
    content: bool = True,
    workers: int = 1,
    training: Seen | None = None,
    remember: Seen | None = None,
    on_finding: Callable[[Finding], None] | None = None,
    on_row: Callable[[bytes], None] | None = None,
    on_typed: Callable[[int, Row], None] | None = None,
    on_bytes: Callable[[int], None] | None = None,
    near: bool = False,
    task: str | None = None,
    partial: bool = False,
) -> Validation:
    """Check a file line by line, in flat memory.

    Args:
        source: a path (gzip is unpacked), or a binary stream.
        target: whose rules: openai, azure, peft, together, ...; compatible for any other host.
        method: what the rows are for.
        model: chooses the vocabulary that tokens are counted with.
        longest: tokens at which the training is asked to cut an example.
        split: train or validation; a validation file may be small.
        keep: findings held of each code; None holds all of them.
        count_tokens: also count tokens, the slowest part.
        content: also look for characters, special tokens, secrets and personal data in the texts,
            and for rows that repeat.
        workers: processes for a large file that nobody listens to.
        training: the rows of the training file, to find leaks from it.
        remember: takes every row that has no error, to look for it in another file.
        on_finding: sees every finding at once.
        on_row: gets each row as it would be uploaded, without a line end; blank lines are left out.
        on_typed: gets line and typed row of every row that has no error.
        on_bytes: told how many bytes were read, about every megabyte.
        near: also look for rows that nearly repeat, with the extra `near`.
        task: classification tells how often each answer is given.
        partial: an interruption ends the reading, and the verdict says so.

    Returns:
        The verdict. Bad bytes are findings, never exceptions.

    Raises:
        OSError: the file cannot be read.
        UsageError: no such target.
    """
    checks = Checks(
        target=target,
        method=Method(method),
        model=model,
        longest=longest,
        keep=keep,
        count_tokens=count_tokens,
        content=content,
        near=near,
        task=task,
        size=_share_of(source, workers),
        again=isinstance(source, Path) and source.is_file(),
        partial=partial,
    )
    listeners = Listeners(
        training=training,
        remember=remember,
        on_finding=on_finding,
        on_row=on_row,
        on_typed=on_typed,
        on_bytes=on_bytes,
    )
    scan = Scan(checks, listeners)
    with opened(source, on_bytes) as opened_source:
        if opened_source.refusal is not None:
            refusal = opened_source.refusal
            own = limits_of(target, checks.method).severities.get(refusal.code)
            scan.done.collector.add(replace(refusal, severity=own or refusal.severity))
        else:
            _read(scan, opened_source, source, workers if listeners.is_quiet else 1)
            for line, flaw in relations(scan, source):
                scan.report(line, [flaw])
            for flaw in scan.done.overview.flaws():
                scan.add(flaw.code, **flaw.fields)
            _judge_the_file(scan, opened_source, limits_of(target, checks.method), split)
        return _verdict(opened_source.name, checks, scan)


def _share_of(source: Path | BinaryIO, workers: int) -> int:
    """The bytes that one process will read."""
    size = source.stat().st_size if isinstance(source, Path) and source.is_file() else 0
    return size // workers if size >= WORTH_A_PROCESS else size


def _read(scan: Scan, opened_source: Source, source: Path | BinaryIO, workers: int) -> None:
    is_large = (opened_source.bytes or 0) >= WORTH_A_PROCESS and not opened_source.packed
    if workers > 1 and is_large and isinstance(source, Path) and sys.platform != "win32":
        from orchestrator.datasets.checking.parallel import scan_in_parts

        scan_in_parts(source, scan, workers)
    else:
        scan.read(opened_source.stream)


def _verdict(name: str, checks: Checks, scan: Scan) -> Validation:
    done = scan.done
    return Validation(
        name=name,
        target=checks.target,
        method=checks.method,
        rows=done.rows,
        findings=done.collector.sorted(),
        counts=dict(done.collector.counts),
        errors=done.collector.errors,
        warnings=done.collector.warnings,
        tokens=done.tally.tokens if done.tally else None,
        encoding=done.tally.encoding if done.tally else None,
        lengths=done.tally.lengths() if done.tally else None,
        interrupted=done.interrupted,
    )


def _judge_the_file(scan: Scan, source: Source, limits: Limits, split: str) -> None:
    """What only the whole file shows: its line ends, its rows, its size."""
    done = scan.done
    if scan.uncompared:
        scan.add("rows-not-compared", line_=scan.uncompared)
    if done.crlf:
        scan.add("mixed-line-ends" if done.lf else "crlf-line-ends", crlf=done.crlf, lf=done.lf)
    if not done.interrupted and "cr-line-ends" not in done.collector.counts:
        # Otherwise there are no rows to count before the lines are told apart.
        _judge_rows(scan, limits, split)
    size, largest = source.bytes, limits.max_file_bytes
    if size is not None and largest is not None and not source.packed and size > largest:
        scan.add("file-too-large", bytes=size, target=limits.target, most=largest)
    if done.tally and done.tally.trouble:
        scan.add("tokens-not-counted", reason=done.tally.trouble)
    elif done.tally and done.tally.tokens and (doubt := doubt_of(scan.checks.model)):
        scan.add("tokens-estimated", doubt=doubt, encoding=done.tally.encoding)


def _judge_rows(scan: Scan, limits: Limits, split: str) -> None:
    rows, least = scan.done.rows, limits.min_rows
    most = limits.max_rows if split == "train" else limits.max_validation_rows
    if not rows:
        scan.add("empty-file")
    elif split == "train" and rows < least:
        missing = least - rows
        scan.add("too-few-rows", rows=rows, target=limits.target, least=least, missing=missing)
    elif most is not None and rows > most:
        scan.add("too-many-rows", rows=rows, target=limits.target, most=most)
