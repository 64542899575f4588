"""From a file to the exact bytes that may be uploaded, or a refusal with the first findings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.files.reading import opened, physical_lines
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.findings.finding import Severity
from orchestrator.domain.errors import DatasetInvalid, FtctlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.datasets.checking.validation import Validation
    from orchestrator.datasets.content.leaks import Seen
    from orchestrator.datasets.findings.finding import Finding
    from orchestrator.domain.jobs.job import Method

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A valid dataset as it will be uploaded: no mark, one object a line, LF ends.

    Attributes:
        source: the file it is made from.
        rows: examples.
        size: bytes of the upload.
        digest: SHA-256 of the upload, in hex.
        tokens: training tokens of one pass; None when not counted.
        findings: warnings and notes; there are no errors.
        cut_rows: rows of which the end is not trained on, since they are too long.
    """

    source: Path
    rows: int
    size: int
    digest: str
    tokens: int | None
    findings: Sequence[Finding]
    cut_rows: int = 0

    def chunks(self) -> Iterator[bytes]:
        """The upload, row by row, read from the source again."""
        return _normalised(self.source)

    def write_to(self, path: Path) -> None:
        """Write the upload to a new file.

        Raises:
            DatasetInvalid: the source changed since it was checked; nothing is left behind.
            FileExistsError: the path is taken.
        """
        digest = hashlib.sha256()
        try:
            with path.open("xb") as stream:
                for chunk in self.chunks():
                    digest.update(chunk)
                    stream.write(chunk)
        except FileExistsError:
            raise
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if digest.hexdigest() != self.digest:
            path.unlink()
            raise DatasetInvalid(
                f"{self.source} changed while it was prepared.", hint="run the command again"
            )


def prepare(
    path: Path,
    *,
    target: str,
    method: Method,
    model: str | None = None,
    longest: int | None = None,
    split: str = "train",
    count_tokens: bool = True,
    training: Seen | None = None,
) -> Prepared:
    """Check a file and describe the exact bytes that may be uploaded. Converts nothing.

    Args:
        path: the dataset; gzip is unpacked.
        target: whose rules: openai, azure, peft, together, ...; compatible for any other host.
        method: what the rows are for.
        model: chooses the vocabulary that tokens are counted with.
        longest: tokens at which the training is asked to cut an example.
        split: train or validation.
        count_tokens: also count tokens.
        training: the rows of the training file, to find leaks from it.

    Raises:
        DatasetInvalid: the file has errors; the message holds the first of them.
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    size = 0

    def take(row: bytes) -> None:
        nonlocal size
        digest.update(row)
        digest.update(b"\n")
        size += len(row) + 1

    verdict = validate(
        path,
        target=target,
        method=method,
        model=model,
        longest=longest,
        split=split,
        count_tokens=count_tokens,
        training=training,
        on_row=take,
    )
    if not verdict.ok:
        raise refusal(path, verdict)
    return Prepared(
        source=path,
        rows=verdict.rows,
        size=size,
        digest=digest.hexdigest(),
        tokens=verdict.tokens,
        findings=verdict.findings,
        cut_rows=verdict.lengths.cut_rows if verdict.lengths else 0,
    )


def normalised_digest(path: Path) -> str | None:
    """SHA-256 of the upload that the file would make; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for chunk in _normalised(path):
            digest.update(chunk)
    except (OSError, FtctlError):
        return None
    return digest.hexdigest()


def refusal(path: Path, verdict: Validation) -> DatasetInvalid:
    """The error for a file that has errors: the first of them, how many, and what to type."""
    errors = [finding for finding in verdict.findings if finding.severity is Severity.ERROR]
    first = "; ".join(
        f"{path.name} {finding.place}: {finding.message}" for finding in errors[:_SHOWN]
    )
    count = "1 error" if verdict.errors == 1 else f"{verdict.errors} errors"
    method = "" if verdict.method == "supervised" else f" --method {verdict.method}"
    return DatasetInvalid(
        f"{first} ({count} in all; nothing was uploaded)",
        hint=f"ftctl validate {path} --for {verdict.target}{method}",
    )


def _normalised(path: Path) -> Iterator[bytes]:
    with opened(path) as source:
        for number, line in enumerate(physical_lines(source.stream), 1):
            row = (line.removeprefix(BOM) if number == 1 else line).strip(b" \t\r\n")
            if row:
                yield row + b"\n"
