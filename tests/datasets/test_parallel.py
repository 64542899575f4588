"""Several processes find what one finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.datasets.checking.checks import Checks
from orchestrator.datasets.checking.parallel import Part, parts_of, scan_in_parts
from orchestrator.datasets.checking.scanning import Scan

TORTURE = Path(__file__).parents[1] / "data" / "datasets" / "torture"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.jsonl"
    names = ("bom_utf8.jsonl", "rows_chat.jsonl", "crlf.jsonl", "nan.jsonl", "leak_train.jsonl")
    path.write_bytes(b"".join((TORTURE / name).read_bytes().rstrip() + b"\n" for name in names))
    return path


@pytest.mark.parametrize("many", [1, 2, 3, 7, 100])
def test_parts_cover_the_file_at_line_ends(mixed: Path, many: int) -> None:
    parts = parts_of(mixed, many)
    content = mixed.read_bytes()
    assert b"".join(content[part.start : part.end] for part in parts) == content
    assert all(content[part.end - 1] == 10 for part in parts)
    assert len(parts) <= many


def test_an_empty_part_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b"x" * 1000)
    assert parts_of(path, 4) == [Part(0, 1000)]


@pytest.mark.parametrize("workers", [2, 3])
def test_two_processes_find_what_one_finds(mixed: Path, workers: int) -> None:
    checks = Checks(keep=3, again=True)
    with mixed.open("rb") as stream:
        alone = Scan(checks).read(stream)
    together = scan_in_parts(mixed, Scan(checks), workers)
    assert together.rows == alone.rows
    assert together.lines == alone.lines
    assert (together.lf, together.crlf) == (alone.lf, alone.crlf)
    assert together.collector.counts == alone.collector.counts
    assert together.collector.errors == alone.collector.errors
    assert together.collector.sorted() == alone.collector.sorted()
    assert list(together.exact.repeats()) == list(alone.exact.repeats())
    assert together.tally is not None
    assert alone.tally is not None
    assert together.tally.lengths() == alone.tally.lengths()
    assert together.tally.tokens == alone.tally.tokens
