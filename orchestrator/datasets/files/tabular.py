"""CSV and TSV as records, and texts filled from their columns."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from orchestrator.datasets.files.encodings import encoding_of
from orchestrator.domain.errors import DatasetInvalid, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_FIELD = re.compile(r"\{([^{}]*)\}")
_WIDEST_FIELD = 64 << 20


class Record(NamedTuple):
    """One record and the line it starts on, from 1.

    Attributes:
        note: what had to be assumed to read it; None when nothing.
    """

    line: int
    value: Any
    note: str | None = None


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table."""
    return path.suffix.lower() in {".csv", ".tsv", ".tab"}


def read_table(path: Path, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """Every row of a table as an object of texts.

    Tab-separated files are read without quoting, as they are written: a quote is a character.

    Args:
        path: a UTF-8 file.
        columns: names for a file without a header; its first line is the header when None.

    Raises:
        DatasetInvalid: a row has more or fewer fields than there are columns, or is not UTF-8.
    """
    csv.field_size_limit(_WIDEST_FIELD)
    tabs = _has_tabs(path)
    # Only LF ends a tab-separated row; csv itself must see every line end of a quoted field.
    with path.open(encoding="utf-8-sig", newline="\n" if tabs else "") as stream:
        try:
            lines = _tab_fields(stream) if tabs else _comma_fields(stream)
            yield from _rows(lines, path, columns)
        except UnicodeDecodeError as error:
            encoding = encoding_of(error.object)
            raise DatasetInvalid(
                f"{path} is not UTF-8 (byte 0x{error.object[error.start]:02x}); it looks like "
                f"{encoding.words}.",
                hint=f"iconv -f {encoding.name} -t UTF-8 {path} > OUT{path.suffix}",
            ) from error
        except csv.Error as error:
            raise DatasetInvalid(f"{path} cannot be read as a table: {error}.") from error


class Templates(NamedTuple):
    """Templates for the messages of a row; `{name}` stands for a column or key, `{a.b.0}` for what is in it.

    Attributes:
        user: what is asked.
        assistant: what is answered.
        system: instructions; None for none.
    """

    user: str
    assistant: str
    system: str | None = None

    def row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The chat row of a record.

        Raises:
            UsageError: a template names a column the record does not have.
        """
        messages = [
            {"role": "user", "content": fill(self.user, record)},
            {"role": "assistant", "content": fill(self.assistant, record)},
        ]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": fill(self.system, record)})
        return {"messages": messages}


def fill(template: str, record: Mapping[str, Any]) -> str:
    """The template with every `{name}` replaced; values are texts, never code.

    Raises:
        UsageError: there is no such name.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        found = record[name] if name in record else _inside(record, name)
        return found if isinstance(found, str) else _as_text(found)

    return _FIELD.sub(value, template)


def _inside(record: Mapping[str, Any], name: str) -> Any:
    """What stands under `a.b.0`: the first item of b, in a."""
    found: Any = record
    for step in name.split("."):
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            known = ", ".join(map(str, record))
            raise UsageError(f"There is no column {name!r}; there are: {known}.")
    return found


def _as_text(value: object) -> str:
    import json

    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _has_tabs(path: Path) -> bool:
    if path.suffix.lower() in {".tsv", ".tab"}:
        return True
    with path.open("rb") as stream:
        first = stream.readline(1 << 16)
    return first.count(b"\t") > first.count(b",")


def _tab_fields(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(stream, 1):
        bare = line.rstrip("\r\n")
        yield number, bare.split("\t") if bare else []


def _comma_fields(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    first = stream.readline()
    told = _TOLD.fullmatch(first)
    if told is None:
        stream.seek(0)
    usual = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(stream, delimiter=told.group(1) if told else usual)
    skipped = int(told is not None)
    line = 1 + skipped
    for fields in reader:
        yield line, fields
        line = reader.line_num + 1 + skipped


# What Excel writes into the first line, for itself.
_TOLD = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def _rows(
    lines: Iterator[tuple[int, list[str]]], path: Path, columns: Sequence[str] | None
) -> Iterator[Record]:
    """A line without a separator continues the row before: a line break inside its last field."""
    held: Record | None = None
    for line, fields in lines:
        if columns is None:
            columns = fields or None
        elif held is not None and len(fields) == 1 and len(columns) > 1:
            held.value[columns[-1]] += "\n" + fields[0]
            held = held._replace(note="a line without a separator was joined to the row before")
        elif fields:
            if held is not None:
                yield held
            held = Record(line, _named(columns, fields, path, line))
    if held is not None:
        yield held


def _named(columns: Sequence[str], fields: list[str], path: Path, line: int) -> dict[str, str]:
    if len(fields) != len(columns):
        raise DatasetInvalid(
            f"{path} line {line} has {len(fields)} fields, not {len(columns)}.",
            hint=f"--columns a,b names the columns; now they are {','.join(columns)}",
        )
    return dict(zip(columns, fields, strict=True))
