"""Every dialect of the zoo becomes the row it should, or is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.datasets.checking.preparation import prepare
from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.converting import convert_file
from orchestrator.datasets.dialects.conversion import Options, convert_record
from orchestrator.datasets.dialects.dialects import DIALECTS
from orchestrator.datasets.files.tabular import Templates
from orchestrator.domain.errors import DatasetInvalid, UsageError
from orchestrator.domain.jobs.job import Method

DATA = Path(__file__).parents[1] / "data" / "datasets"
ZOO: list[dict[str, Any]] = json.loads((DATA / "format_zoo.json").read_text())["records"]


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry["format"])
def test_the_zoo_converts_as_expected(entry: dict[str, Any]) -> None:
    wanted = entry["openai_chat"]
    made = convert_record(entry["record"], Options(allow_loss=True))
    if wanted is None:
        assert convert_record(entry["record"], Options()).refusal
    else:
        assert made.row == (entry["record"] if wanted == "identity" else wanted)


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry["format"])
def test_a_lossless_record_needs_no_leave(entry: dict[str, Any]) -> None:
    if entry["lossless_to_openai_chat"]:
        made = convert_record(entry["record"], Options())
        assert made.row is not None
        assert not made.losses


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry["format"])
def test_what_is_converted_is_valid(entry: dict[str, Any], tmp_path: Path) -> None:
    made = convert_record(entry["record"], Options(allow_loss=True))
    if made.row is not None:
        path = tmp_path / "row.jsonl"
        path.write_bytes(msgspec.json.encode(made.row))
        assert validate(path, target="peft").ok


def test_preferences_keep_both_sides_where_asked() -> None:
    for name in ("openai.dpo", "sharegpt.preference", "trl.preference.implicit"):
        record = next(entry["record"] for entry in ZOO if entry["format"] == name)
        made = convert_record(record, Options(method=Method.DPO))
        assert not made.losses
        assert made.row is not None
        assert made.row["preferred_output"] == [{"role": "assistant", "content": "4"}]
        assert made.row["non_preferred_output"] == [{"role": "assistant", "content": "5"}]


@pytest.mark.parametrize("dialect", list(DIALECTS))
@pytest.mark.parametrize("record", [{}, {"messages": 1}, {"conversations": [1]}, [], None, "x"])
def test_a_wrong_dialect_is_a_refusal(dialect: str, record: Any) -> None:
    for method in (Method.SUPERVISED, Method.DPO):
        assert convert_record(record, Options(dialect=dialect, method=method)).refusal


def test_an_unknown_dialect_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no dialect"):
        Options(dialect="klingon")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("identity.json", 91),
        ("torchtune_chat_tiny.json", 1),
        ("wwdc25_valid.jsonl", 144),
        ("stock_test_hallucination.jsonl", 10),
    ],
)
def test_real_files_convert_to_valid_rows(name: str, rows: int, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert convert_file(DATA / "real" / name, out, Options()).written == rows
    assert prepare(out, target="peft", method=Method.SUPERVISED).rows == rows


def test_real_preferences_convert(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    source = DATA / "real" / "v1_dpo_demo.jsonl"
    report = convert_file(source, out, Options(method=Method.DPO, allow_loss=True))
    assert report.written
    assert validate(out, target="peft", method="dpo").ok
    with pytest.raises(DatasetInvalid, match="would be lost"):
        convert_file(source, tmp_path / "again.jsonl", Options())
    assert not (tmp_path / "again.jsonl").exists()


def test_a_table_without_a_header_converts(tmp_path: Path) -> None:
    out = tmp_path / "sms.jsonl"
    report = convert_file(
        DATA / "real" / "sms_spam_collection.tsv",
        out,
        Options(),
        templates=Templates("{text}", "{label}", "Answer ham or spam."),
        columns=["label", "text"],
    )
    assert report.written == 5574
    first = json.loads(out.read_bytes().splitlines()[0])
    assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant"]
    assert first["messages"][2]["content"] == "ham"


def test_a_template_names_what_is_there(tmp_path: Path) -> None:
    source = tmp_path / "table.csv"
    source.write_text('q,a\n"one, two",3\n')
    out = tmp_path / "out.jsonl"
    convert_file(source, out, Options(), templates=Templates("{q}?", "{a}"))
    assert json.loads(out.read_text())["messages"][0]["content"] == "one, two?"
    with pytest.raises(UsageError, match="no column"):
        convert_file(source, out, Options(), templates=Templates("{x}", "{a}"), force=True)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        convert_file(DATA / "real" / "identity.json", out, Options())
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def test_a_failed_conversion_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "a", "completion": "b"}\n{"text": "no roles"}\n')
    with pytest.raises(DatasetInvalid, match="record 2"):
        convert_file(source, tmp_path / "out.jsonl", Options())
    assert list(tmp_path.iterdir()) == [source]


def test_a_system_message_is_added_where_none_is() -> None:
    made = convert_record({"prompt": "a", "completion": "b"}, Options(system="Be brief."))
    assert made.row is not None
    assert made.row["messages"][0] == {"role": "system", "content": "Be brief."}
