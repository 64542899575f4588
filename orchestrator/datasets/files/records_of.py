"""The records of any file a person has: JSONL, a JSON array, pretty-printed JSON, CSV or TSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from orchestrator.datasets.files.columnar import is_columnar, read_columnar
from orchestrator.datasets.files.reading import (
    LONGEST_LINE,
    is_cut,
    opened,
    physical_lines,
)
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.files.strict import holds_object, read_strictly
from orchestrator.datasets.files.tabular import Record, is_table, read_table
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.datasets.findings.finding import Finding

_ONE_DOCUMENT = frozenset({"json-array", "pretty-printed"})
#: Keys under which a whole dataset may stand as a list.
CONTAINERS = ("data", "rows", "examples", "train", "items")


def records_of(path: Path, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """Every record with its line; in one JSON document, the number of the record.

    Args:
        path: the file; gzip and Zstandard are unpacked. Parquet files and folders of them are
            read with the extra `parquet`.
        columns: names of the columns of a table without a header.

    Raises:
        DatasetInvalid: the file or a line of it cannot be read.
        OSError: the file cannot be opened.
    """
    if is_columnar(path):
        yield from read_columnar(path)
        return
    if columns is not None or is_table(path):
        yield from read_table(path, columns)
        return
    with opened(path) as source:
        if source.refusal is None:
            yield from _lines(source.stream, path)
        elif source.refusal.code in _ONE_DOCUMENT:
            yield from _document(source.stream.read(), path)
        elif source.refusal.code == "table":
            yield from read_table(path)
        else:
            raise _unreadable(path, source.refusal)


def _unreadable(path: Path, refusal: Finding) -> DatasetInvalid:
    return DatasetInvalid(f"{path}: {refusal.message}", hint=refusal.fix)


def _lines(stream: BinaryIO, path: Path) -> Iterator[Record]:
    decode = msgspec.json.Decoder().decode
    for number, line in enumerate(physical_lines(stream), 1):
        if is_cut(line):
            said = f"{path} line {number} has more than {LONGEST_LINE} bytes."
            raise DatasetInvalid(said, hint=f"ftctl validate {path}")
        body = (line.removeprefix(BOM) if number == 1 else line).strip()
        if not body:
            continue
        try:
            row = decode(body)
            if holds_object(row):
                note = "a row that was encoded twice was read as the object it holds"
                yield Record(number, decode(row), note)
            else:
                yield from _unwrapped(number, row)
        except (ValueError, RecursionError):
            flaws = read_strictly(body).flaws
            why = flaws[0].code.replace("-", " ") if flaws else "not JSON"
            raise DatasetInvalid(
                f"{path} line {number} cannot be read: {why}.", hint=f"ftctl validate {path}"
            ) from None


def _document(content: bytes, path: Path) -> Iterator[Record]:
    """One array, or objects one after the other, whatever their line breaks."""
    try:
        value = msgspec.json.decode(content.removeprefix(BOM))
    except (ValueError, RecursionError):
        yield from _one_after_the_other(content, path)
        return
    if isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield Record(number, item)
    else:
        yield from _unwrapped(1, value)


def _unwrapped(line: int, value: Any) -> Iterator[Record]:
    """A record; or, from an object that only holds a list of them, each of the list.

    What stands beside the list is told of, for it belongs to no record.
    """
    keys = [key for key in CONTAINERS if isinstance(value, dict) and is_rows(value.get(key))]
    if len(keys) != 1 or "messages" in value or "conversations" in value or _is_turns(value):
        yield Record(line, value)
        return
    beside = [str(key) for key in value if key != keys[0]]
    left = f"; what stands beside it was left out: {', '.join(beside)}" if beside else ""
    for number, item in enumerate(value[keys[0]], line):
        yield Record(number, item, f"the records were read from the list {keys[0]}{left}")


def is_rows(value: Any) -> bool:
    """Whether a value is a list of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_turns(value: dict[str, Any]) -> bool:
    items = value.get("items")
    return isinstance(items, list) and all("from" in item or "role" in item for item in items)


def _one_after_the_other(content: bytes, path: Path) -> Iterator[Record]:
    try:
        text = content.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetInvalid(f"{path} is not UTF-8.", hint=f"ftctl validate {path}") from error
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at = _skip(text, 0)
    while at < len(text):
        start = at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", start)) + 1
            raise DatasetInvalid(f"{path} line {line} cannot be read: {error}.") from error
        yield Record(text.count("\n", 0, start) + 1, value)
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
