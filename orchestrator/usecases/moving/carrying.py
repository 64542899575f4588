"""Carrying a dataset to another host: its rules, what it cannot hold, and the rows held out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.datasets.checking.limits import targets
from orchestrator.datasets.checking.preparation import refusal
from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.converting import convert_file
from orchestrator.datasets.dialects.conversion import Options
from orchestrator.datasets.files.reading import opened, physical_lines
from orchestrator.datasets.findings.finding import Severity
from orchestrator.domain.errors import DatasetInvalid
from orchestrator.domain.jobs.job import Method
from orchestrator.usecases.comparing.samples import read_samples, said

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from orchestrator.datasets.findings.finding import Finding


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A dataset as the target takes it.

    Attributes:
        path: the file; the original where nothing had to change.
        rows: how many there were.
        left_out: reason → rows that are not in it.
        changes: what else is not as it was.
    """

    path: Path
    rows: int
    left_out: Counter[str]
    changes: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Rows that are in it."""
        return self.rows - self.left_out.total()


def carry(
    source: Path,
    folder: Path,
    *,
    kind: str,
    method: Method,
    held_out: Collection[str] = (),
    allow_loss: bool = False,
) -> Carried:
    """Make a stored dataset fit for another host; byte for byte the same where it is already.

    Args:
        source: the file in the store.
        folder: where a changed copy may be written.
        kind: the target's kind, whose rules are asked.
        method: what the rows are for.
        held_out: what the user says in the rows that must not be trained on.
        allow_loss: leave out what the target cannot hold.

    Raises:
        DatasetInvalid: something would be lost and was not allowed to be; it is named.
    """
    target = kind if kind in targets() else "openai"
    changes: tuple[str, ...] = ()
    bad = _errors(source, target, method)
    rows = _count(source)
    if bad:
        source, changes = _converted(source, folder, method, allow_loss=allow_loss)
        bad = _errors(source, target, method)
    if bad and not allow_loss:
        raise _named(source, target, method)
    left_out: Counter[str] = Counter()
    if bad:
        left_out.update(f"{finding.code}: {finding.message}" for finding in bad.values())
        source = _without(source, folder / f"{source.stem}-valid.jsonl", bad)
    # A row of reinforcement holds no answer, so that no sample is made from it.
    test = _of_test(source, held_out) if method is not Method.REINFORCEMENT else set()
    if test:
        left_out["held out: they are in the test set"] += len(test)
        source = _without(source, folder / f"{source.stem}-carried.jsonl", test)
    return Carried(path=source, rows=rows, left_out=left_out, changes=changes)


def _errors(path: Path, target: str, method: Method) -> dict[int, Finding]:
    """The first error of each bad line; errors of the whole file are the plan's to refuse."""
    found: dict[int, Finding] = {}

    def note(finding: Finding) -> None:
        if finding.severity is Severity.ERROR and finding.line is not None:
            found.setdefault(finding.line, finding)

    validate(path, target=target, method=method, keep=0, count_tokens=False, on_finding=note)
    return found


def _count(path: Path) -> int:
    with opened(path) as source:
        return sum(bool(line.strip()) for line in physical_lines(source.stream))


def _converted(
    source: Path, folder: Path, method: Method, *, allow_loss: bool
) -> tuple[Path, tuple[str, ...]]:
    """The file in the dialect that every host here speaks; what that loses is named."""
    out = folder / f"{source.stem}-converted.jsonl"
    try:
        report = convert_file(source, out, Options(method=method, allow_loss=allow_loss))
    except DatasetInvalid:
        if not allow_loss:
            raise
        # No row of it is in a dialect that is known: the rows stand as they are.
        return source, ()
    told = [f"{word} ({many} rows)" if many else word for word, many in report.told()]
    return out, tuple(each for each in told if not each.startswith("read as openai"))


def _named(path: Path, target: str, method: Method) -> DatasetInvalid:
    error = refusal(path, validate(path, target=target, method=method, count_tokens=False))
    error.hint = "--allow-loss leaves those rows out"
    return error


def _of_test(path: Path, held_out: Collection[str]) -> set[int]:
    """The lines whose question is in the test set."""
    if not held_out:
        return set()
    return {sample.row for sample in read_samples(path) if said(sample) in held_out}


def _without(source: Path, out: Path, lines: Collection[int]) -> Path:
    with opened(source) as original, out.open("wb") as copy:
        for number, line in enumerate(physical_lines(original.stream), 1):
            if number not in lines:
                copy.write(line)
    return out
