"""Convert a whole file: read, convert, read back, write; and tell what became of every row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from orchestrator.datasets.dialects.conversion import Converted, convert_record
from orchestrator.datasets.files.records_of import records_of
from orchestrator.datasets.files.writing import written
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.datasets.dialects.conversion import Options
    from orchestrator.datasets.files.tabular import Templates

_LINES_HELD = 1000


@dataclass(kw_only=True)
class Report:
    """What became of the records of a file.

    Attributes:
        written: rows written.
        left_out: records that could not be converted.
        dialects: dialect → records.
        told_of: (loss, note or refusal) → lines, the first of them.
    """

    written: int = 0
    left_out: int = 0
    dialects: Counter[str] = field(default_factory=Counter)
    losses: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, list[int]] = field(default_factory=dict)

    def told(self) -> Iterator[tuple[str, int]]:
        """Everything worth saying, with how many rows it is true of."""
        for dialect, many in self.dialects.items():
            yield f"read as {dialect}", many
        for kind, entries in (
            ("note", self.notes),
            ("lost", self.losses),
            ("left out", self.refusals),
        ):
            for what, lines in entries.items():
                yield f"{kind}: {what}; first in line {lines[0]}", len(lines)

    def as_json(self) -> dict[str, Any]:
        """What `convert --json` prints."""
        return {
            "ok": not self.left_out,
            "rows": self.written,
            "left_out": self.left_out,
            "dialects": dict(self.dialects),
            "losses": [{"what": what, "lines": lines} for what, lines in self.losses.items()],
            "notes": [{"what": what, "lines": lines} for what, lines in self.notes.items()],
            "refusals": [{"what": what, "lines": lines} for what, lines in self.refusals.items()],
        }


def convert_file(
    source: Path,
    out: Path | None,
    options: Options,
    *,
    templates: Templates | None = None,
    columns: Sequence[str] | None = None,
    force: bool = False,
    stream: BinaryIO | None = None,
) -> Report:
    """Convert a file to JSONL; nothing appears at `out` unless every record is accounted for.

    Args:
        source: JSONL, a JSON document, CSV or TSV; gzip is unpacked.
        out: the file to write; None writes to `stream`.
        options: how to convert.
        templates: a mapping from columns or keys; no dialect is looked for then.
        columns: names of the columns of a table without a header.
        force: take the place of a file that is there.
        stream: where rows go when there is no `out`.

    Raises:
        DatasetInvalid: a record cannot be read, or converted without a loss.
        UsageError: `out` is taken, or a template names a column that is not there.
    """
    report = Report()
    rows = _rows(source, options, templates, columns, report)
    if out is None:
        if stream is None:
            raise ValueError("either out or stream")
        for row in rows:
            stream.write(row)
        return report
    with written(out, force=force) as target:
        for row in rows:
            target.write(row)
    return report


def _rows(
    source: Path,
    options: Options,
    templates: Templates | None,
    columns: Sequence[str] | None,
    report: Report,
) -> Iterator[bytes]:
    for line, record, assumed in records_of(source, columns):
        if assumed is not None:
            _note(report.notes, assumed, line)
        if templates is not None and isinstance(record, dict):
            made = Converted(row=templates.row(record), dialect="a mapping")
        else:
            made = convert_record(record, options)
        _remember(report, line, made)
        if made.row is None:
            if not options.allow_loss:
                raise _refused(source, line, made)
            continue
        report.written += 1
        yield _encoded(made.row)
    if not report.written:
        raise DatasetInvalid(f"{source} has no record that became a row.")


def _encoded(row: dict[str, Any]) -> bytes:
    encoded = msgspec.json.encode(row)
    if msgspec.json.decode(encoded) != row:
        raise DatasetInvalid("A row does not read back as it was written.")
    return encoded + b"\n"


def _refused(source: Path, line: int, made: Converted) -> DatasetInvalid:
    what = f" ({made.dialect})" if made.dialect else ""
    hint = "--allow-loss writes what can be written and leaves the rest out"
    return DatasetInvalid(f"{source} record {line}{what}: {made.refusal}.", hint=hint)


def _remember(report: Report, line: int, made: Converted) -> None:
    if made.dialect:
        report.dialects[made.dialect] += 1
    if made.row is None:
        report.left_out += 1
        _note(report.refusals, str(made.refusal), line)
        return
    for loss in made.losses:
        _note(report.losses, loss, line)
    for note in made.notes:
        _note(report.notes, note, line)


def _note(entries: dict[str, list[int]], what: str, line: int) -> None:
    lines = entries.setdefault(what, [])
    if len(lines) < _LINES_HELD:
        lines.append(line)
