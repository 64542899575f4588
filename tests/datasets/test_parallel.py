"""Several processes find what one finds."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.datasets.checking import validation
from orchestrator.datasets.checking.checks import Checks
from orchestrator.datasets.checking.near import NearDuplicates
from orchestrator.datasets.checking.parallel import Part, parts_of, scan_in_parts
from orchestrator.datasets.checking.scanning import Scan
from orchestrator.datasets.content.leaks import Seen

if TYPE_CHECKING:
    from orchestrator.datasets.findings.finding import Finding

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


def test_what_two_processes_remember_is_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rensa")
    monkeypatch.setattr(validation, "WORTH_A_PROCESS", 0)
    words = [f"word{number}" for number in range(400)]
    rows = [chat(" ".join(words[start : start + 60])) for start in range(0, 300, 40)]
    train, held = tmp_path / "train.jsonl", tmp_path / "held.jsonl"
    train.write_bytes(b"".join([*rows, chat("again"), *rows[:3], chat("again", "no")]))
    held.write_bytes(b"".join([chat("new"), *rows[2:5], chat("AGAIN"), chat("again", "yes")]))

    def found(workers: int) -> list[Finding]:
        seen = Seen(NearDuplicates(questions=True))
        check = functools.partial(validation.validate, workers=workers, near=True, keep=None)
        one = check(train, remember=seen)
        other = check(held, training=seen, split="validation")
        return [*one.findings, *other.findings]

    alone, together = found(1), found(2)
    assert together == alone
    assert {"duplicate-row", "conflicting-answers", "leaked-row", "leaked-prompt"} <= {
        each.code for each in alone
    }


def chat(asked: str, answered: str = "ok") -> bytes:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return json.dumps({"messages": turns}).encode() + b"\n"
