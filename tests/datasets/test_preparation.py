"""What is uploaded is exactly what was checked."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from orchestrator.datasets.checking.preparation import prepare
from orchestrator.domain.errors import DatasetInvalid
from orchestrator.domain.jobs.job import Method

TORTURE = Path(__file__).parents[1] / "data" / "datasets" / "torture"
CLEAN = (TORTURE / "ok_10_rows.jsonl").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "ok_10_rows.jsonl",
        "ok_no_final_newline.jsonl",
        "bom_utf8.jsonl",
        "crlf.jsonl",
        "mixed_eol.jsonl",
        "blank_lines.jsonl",
        "gzip.jsonl.gz",
        "whitespace_padded.jsonl",
    ],
)
def test_the_upload_is_normalised(name: str, tmp_path: Path) -> None:
    prepared = prepare(TORTURE / name, target="openai", method=Method.SUPERVISED)
    out = tmp_path / "upload.jsonl"
    prepared.write_to(out)
    content = out.read_bytes()
    assert content == CLEAN
    assert prepared.size == len(content)
    assert prepared.digest == hashlib.sha256(content).hexdigest()
    assert prepared.rows == 10
    assert prepared.tokens == 325


def test_errors_refuse_the_file_with_the_first_of_them() -> None:
    with pytest.raises(DatasetInvalid, match=r"rows_chat.jsonl line 2 .*errors in all") as caught:
        prepare(TORTURE / "rows_chat.jsonl", target="openai", method=Method.SUPERVISED)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("ftctl validate ")
    assert caught.value.hint.endswith("--for openai")


def test_a_file_that_changed_is_not_written(tmp_path: Path) -> None:
    source = tmp_path / "data.jsonl.gz"
    source.write_bytes(gzip.compress(CLEAN))
    prepared = prepare(source, target="openai", method=Method.SUPERVISED)
    source.write_bytes(gzip.compress(CLEAN.replace(b"Paris", b"Lyon ")))
    with pytest.raises(DatasetInvalid, match="changed"):
        prepared.write_to(tmp_path / "upload.jsonl")
    assert not (tmp_path / "upload.jsonl").exists()


def test_small_files_are_enough_for_the_worker_and_for_validation() -> None:
    nine = TORTURE / "min_9_rows.jsonl"
    assert prepare(nine, target="peft", method=Method.SUPERVISED).rows == 9
    assert prepare(nine, target="azure", method=Method.SUPERVISED, split="validation").rows == 9
    with pytest.raises(DatasetInvalid, match="9 example"):
        prepare(nine, target="azure", method=Method.SUPERVISED)
