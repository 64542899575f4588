"""Parquet files and folders of Hugging Face datasets, with the extra `parquet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.extras import package
from orchestrator.datasets.files.tabular import Record
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROWS_AT_ONCE = 1000


def is_columnar(path: Path) -> bool:
    """Whether a path is a Parquet or Arrow file, by its bytes, or a folder of them."""
    if path.is_dir():
        return bool(_files(path))
    with path.open("rb") as stream:
        return stream.read(6).startswith((b"PAR1", b"ARROW1"))


def read_columnar(path: Path) -> Iterator[Record]:
    """Every row as an object, numbered from 1 over all files; absent members are left out.

    Nested columns have the same members in every row, null where a row has none: such nulls say
    nothing and are dropped.

    Raises:
        DatasetInvalid: a file cannot be read.
        ConfigurationError: the extra is not installed.
    """
    arrow = package("pyarrow", "parquet")
    number = 0
    for file in _files(path) if path.is_dir() else [path]:
        try:
            for row in _rows(file):
                number += 1
                yield Record(number, _without_nulls(row))
        except (arrow.ArrowException, OSError) as error:
            raise DatasetInvalid(f"{file} cannot be read: {error}.") from error


def _files(folder: Path) -> list[Path]:
    """A saved dataset has Arrow files, a downloaded one Parquet; several splits stay apart."""
    found = sorted(folder.rglob("*.parquet")) or sorted(folder.rglob("data-*.arrow"))
    splits = {file.parent for file in found if file.suffix == ".arrow"}
    if len(splits) > 1:
        names = ", ".join(sorted(str(each) for each in splits))
        raise DatasetInvalid(f"{folder} holds several splits.", hint=f"name one of {names}")
    return found


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".arrow" or _starts_with(file, b"ARROW1"):
        yield from _arrow_rows(file)
        return
    parquet = package("pyarrow.parquet", "parquet")
    with parquet.ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE):
            yield from batch.to_pylist()


def _arrow_rows(file: Path) -> Iterator[dict[str, Any]]:
    ipc = package("pyarrow.ipc", "parquet")
    if _starts_with(file, b"ARROW1"):
        reader = ipc.open_file(str(file))
        for index in range(reader.num_record_batches):
            yield from reader.get_batch(index).to_pylist()
        return
    with file.open("rb") as stream:
        for batch in ipc.open_stream(stream):
            yield from batch.to_pylist()


def _starts_with(file: Path, magic: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
