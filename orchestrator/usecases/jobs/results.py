"""The tables of numbers a provider leaves beside a tuned model."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.errors import AnswerIsNo, UsageError
from orchestrator.domain.housekeeping import FileShelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider

# What a spreadsheet takes for a formula, when it stands at the beginning of a cell.
_ACTING = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One result file: any columns, cells as text that no spreadsheet runs.

    Attributes:
        file_id: the provider's id.
        columns: the first line.
        rows: the others, each as long as it came.
    """

    file_id: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_csv(self) -> str:
        """The table again, with LF ends."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return out.getvalue()

    def as_json(self) -> dict[str, object]:
        """The table for scripts."""
        return {
            "file_id": self.file_id,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
        }


def results(job: Job, provider: Provider) -> list[Table]:
    """Every result file of a job, downloaded now.

    Raises:
        UsageError: the provider does not have the job, or gives no files.
        AnswerIsNo: there is none yet.
        TryLater: the provider cannot be asked.
    """
    if job.remote_id is None:
        raise UsageError(
            f"Job {job.id} is {job.status}: the provider does not have it.", hint="ftctl sync"
        )
    if not isinstance(provider, FileShelf):
        raise UsageError(f"Provider '{provider.name}' gives no result files.")
    remote = provider.retrieve_job(job.remote_id)
    if not remote.result_files:
        raise AnswerIsNo(
            f"Job {job.id} has no result files; it is {remote.remote_status or job.status}.",
            hint=f"ftctl status {job.id} --watch" if job.status.is_remote else None,
        )
    return [table(file_id, provider.read_file(file_id)) for file_id in remote.result_files]


def table(file_id: str, content: bytes) -> Table:
    """A table out of the bytes of a result file.

    Args:
        file_id: the provider's id.
        content: comma-separated values, plain or in Base64: OpenAI sends either.
    """
    text = content.decode("utf-8-sig", "replace")
    if "," not in text:
        text = _decoded(text)
    found = [[defused(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    return Table(file_id=file_id, columns=found[0] if found else [], rows=found[1:])


def defused(cell: str) -> str:
    """The cell with an apostrophe before it, if a spreadsheet would run it; numbers stay."""
    acts = cell.startswith(_ACTING) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if acts else cell


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8-sig")
    except (ValueError, UnicodeDecodeError):
        return text
