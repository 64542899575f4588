"""Convert a whole file: read, convert, read back, write; and tell what became of every row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from orchestrator.datasets.dialects.conversion import Converted, convert_record
from orchestrator.datasets.dialects.dialects import PREFERENCES
from orchestrator.datasets.files.records_of import records_of
from orchestrator.datasets.files.writing import written
from orchestrator.datasets.records import Chat, Preference
from orchestrator.domain.errors import DatasetInvalid
from orchestrator.domain.jobs.job import Method

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
        losses, notes, refusals: what → lines, the first of them.
        many: what → how many records it is true of.
    """

    written: int = 0
    left_out: int = 0
    dialects: Counter[str] = field(default_factory=Counter)
    losses: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    many: Counter[str] = field(default_factory=Counter)

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
                yield f"{kind}: {what}; first in line {lines[0]}", self.many[what]

    def as_json(self) -> dict[str, Any]:
        """What `convert --json` prints."""
        return {
            "ok": not self.left_out,
            "rows": self.written,
            "left_out": self.left_out,
            "dialects": dict(self.dialects),
            "losses": self._listed(self.losses),
            "notes": self._listed(self.notes),
            "refusals": self._listed(self.refusals),
        }

    def note(self, entries: dict[str, list[int]], what: str, line: int) -> None:
        """Remember that something is true of a record."""
        self.many[what] += 1
        lines = entries.setdefault(what, [])
        if len(lines) < _LINES_HELD:
            lines.append(line)

    def _listed(self, entries: dict[str, list[int]]) -> list[dict[str, Any]]:
        return [
            {"what": what, "rows": self.many[what], "lines": lines}
            for what, lines in entries.items()
        ]


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
            report.note(report.notes, assumed, line)
        if templates is not None and isinstance(record, dict):
            made = Converted(row=templates.row(record), dialect="a mapping")
        else:
            made = convert_record(record, options)
        _remember(report, line, made)
        if made.row is None:
            if not options.allow_loss:
                raise _refused(source, line, made, options)
            continue
        encoded = _encoded(made.row)
        if options.to is None and not _is_example(encoded):
            report.note(report.notes, "the row is no example yet; ftctl validate says why", line)
        report.written += 1
        yield encoded
    if not report.written:
        why = max(report.refusals, key=report.many.__getitem__, default="it holds none")
        raise DatasetInvalid(f"{source} has no record that became a row: {why}.")


def _is_example(encoded: bytes) -> bool:
    """Whether a row has the form that is trained on; what it means is for `validate` to say."""
    for decode in (_CHAT, _PREFERENCE):
        try:
            decode(encoded)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        return True
    return False


_CHAT = msgspec.json.Decoder(Chat).decode
_PREFERENCE = msgspec.json.Decoder(Preference).decode


def _encoded(row: dict[str, Any]) -> bytes:
    encoded = msgspec.json.encode(row)
    if msgspec.json.decode(encoded) != row:
        raise DatasetInvalid("A row does not read back as it was written.")
    return encoded + b"\n"


def _refused(source: Path, line: int, made: Converted, options: Options) -> DatasetInvalid:
    what = f" ({made.dialect})" if made.dialect else ""
    said = f"{source} record {line}{what}: {made.refusal}."
    by_hand = 'ftctl convert FILE --user "{KEY}" --assistant "{KEY}" -o OUT.jsonl; '
    if made.dialect is None:
        return DatasetInvalid(said, hint=f"{by_hand}--columns a,b names columns without a header")
    if made.dialect == "openai.rft":
        return DatasetInvalid(said, hint=f"ftctl validate {source} --method reinforcement")
    if "--allow-loss" not in str(made.refusal):
        return DatasetInvalid(said, hint=f"{by_hand}--allow-loss leaves such records out")
    hint = "--allow-loss writes what can be written and leaves the rest out"
    if made.dialect in PREFERENCES and options.method is Method.SUPERVISED:
        hint = f"--method dpo keeps both answers; {hint}"
    return DatasetInvalid(said, hint=hint)


def _remember(report: Report, line: int, made: Converted) -> None:
    if made.dialect:
        report.dialects[made.dialect] += 1
    if made.row is None:
        report.left_out += 1
        report.note(report.refusals, str(made.refusal), line)
        return
    for loss in made.losses:
        report.note(report.losses, loss, line)
    for note in made.notes:
        report.note(report.notes, note, line)
