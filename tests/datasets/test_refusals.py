"""Why a line is refused is true: the place is the mistake's, and the words name that mistake."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.converting import convert_file
from orchestrator.datasets.dialects.conversion import Options
from orchestrator.datasets.files import reading
from orchestrator.datasets.files.mending import mend_file
from orchestrator.datasets.tokens.showing import rows_between
from orchestrator.domain.errors import DatasetInvalid

TEXT = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}'
ROW = TEXT.encode()


def told(line: bytes) -> tuple[int | None, str, str, str]:
    """Column, code, message and mend of the only finding of a line."""
    (finding,) = validate(io.BytesIO(line), target="peft", count_tokens=False).findings
    return finding.column, finding.code, finding.message, finding.fix


@pytest.mark.parametrize(
    ("right", "wrong", "at", "code", "words"),
    [
        ('"content": "Ho"', '"content" "Ho"', '"Ho"', "not-json", "a colon is missing"),
        ('"content": "Ho"', '"content" 4', "4}", "not-json", "a colon is missing"),
        ('"Ho"', '"Ho" 1', "1}", "not-json", "a comma is missing"),
        ('"Ho"', '"Ho" true', "true", "not-json", "a comma is missing"),
        ("}, {", "} {", '{"role": "assistant"', "not-json", "a comma is missing"),
        ('"Ho"', '"Ho" she said"', '" she', "unescaped-quote", "ends early"),
        ('"Ho"', '"Ho"ho"', '"ho', "unescaped-quote", "ends early"),
        ('"user"', "user", "user", "not-json", "'user' stands without quotes"),
        ('"Ho"', "undefined", "undef", "not-json", "'undefined' stands without quotes"),
        ("}, {", "}, /* then */ {", "/*", "comment", "comment"),
        ("}, {", "}, // then", "//", "comment", "comment"),
        ("}, {", "},, {", ", {", "not-json", "a comma too many"),
        ('"Ho"', "", "}]", "not-json", "a value is missing"),
        ('"Ho"', "-.5", "-.5", "not-json", "'-.5' is no number"),
        ('"Ho"', "+1", "+1", "not-json", "'+1' is no number"),
        ("}]}", "}]} # a note", "#", "comment", "comment"),
        ("Ho", "\\x41", "\\x", "bad-escape", "\\x is no escape"),
        ("Ho", "\\u12", "\\u", "bad-escape", "\\u12, which four hexadecimal digits must follow"),
        ("Ho", "\\U0001F600", "\\U", "bad-escape", "\\U is no escape"),
    ],
)
def test_a_mistake_is_told_where_and_as_what_it_is(
    right: str, wrong: str, at: str, code: str, words: str
) -> None:
    line = TEXT.replace(right, wrong, 1)
    place, named, message, _ = told(line.encode())
    assert (place, named) == (line.index(at) + 1, code)
    assert words in message


def test_the_bracket_that_is_missing_is_named() -> None:
    place, code, message, _ = told(ROW.replace(b"}]}", b"}}"))
    assert (place, code) == (len(ROW) - 1, "not-json")
    assert "a ] is missing before this }" in message


@pytest.mark.parametrize(
    "line", [b"404: Not Found", b'3: {"a": 1}', b"2026-01-01 INFO {}", b'"messages": [']
)
def test_a_line_that_starts_otherwise_is_not_told_to_lose_its_rest(line: bytes) -> None:
    assert told(line)[:2] == (1, "not-json")
    assert "starts with" in told(line)[2]


def test_rows_with_a_comma_between_them_are_two_rows(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(ROW + b", " + ROW.replace(b"Hi", b"Hey") + b"\n")
    assert told(source.read_bytes())[:2] == (len(ROW) + 1, "two-objects-on-a-line")
    mend_file(source, out)
    assert validate(out, target="peft").rows == 2


@pytest.mark.parametrize("sign", ["\x0b", "\x1f", "\x7f", "\u2028", "\xa0", "\u3000", "\ufeff"])
def test_what_cannot_be_seen_is_mended_between_values_and_left_in_texts(
    sign: str, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    inside = f"H{sign}i" if sign >= "\x7f" else "Hi"
    line = TEXT.replace("Hi", inside).replace("}, {", "}, " + sign + "{")
    source.write_text(line, "utf-8")
    column = len(line[: line.index("}, ") + 3].encode()) + 1
    assert told(source.read_bytes())[:2] == (column, "stray-character")
    mend_file(source, out)
    row = json.loads(out.read_bytes())
    assert row["messages"][0]["content"] == inside


def test_rows_that_line_separators_part_are_two_rows(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(ROW + "\u2028".encode() + ROW.replace(b"Hi", b"Hey") + b"\n")
    mend_file(source, out)
    assert validate(out, target="peft").rows == 2


def test_a_row_that_was_encoded_twice_is_encoded_once(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(TEXT) + "\n")
    assert told(source.read_bytes())[1] == "row-encoded-twice"
    mend_file(source, out)
    assert out.read_bytes() == ROW + b"\n"
    assert told(b'"just a text"')[1] == "row-not-object"


def test_comments_and_fences_are_left_out(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"```json\n# rows\n// more\n" + ROW + b" // so\n```\n")
    assert [change.line for change in mend_file(source, out)] == [1, 2, 3, 4, 5]
    assert out.read_bytes() == ROW + b"\n"


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        (str(json.loads(TEXT)), True),
        (TEXT.replace('"Ho"', '"Ho", "refusal": None'), True),
        (TEXT.replace('"Ho"', "'Ho' 'ho'"), False),
        (TEXT.replace('"content": "Ho"', "'content': 'Ho', 'content': 'No'"), False),
        (TEXT.replace('"Ho"', "('Ho',)"), False),
        (TEXT.replace('"Ho"', "f'{1}'"), False),
    ],
)
def test_what_python_printed_becomes_json_where_it_has_one_meaning(
    line: str, mended: bool, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(line + "\n")
    assert bool(mend_file(source, out)) is mended
    assert validate(out, target="peft").ok is mended
    assert mended or out.read_text() == source.read_text()


@pytest.mark.parametrize(
    ("content", "name", "mend"),
    [
        (b"PAR1\x15\x04", "Parquet", "ftctl convert FILE"),
        (b"ARROW1\x00\x00", "Arrow", "ftctl convert FILE"),
        (b"BZh91AY", "bzip2", "Unpack it"),
        (b"%PDF-1.7", "PDF", "Export its rows"),
        (pickle.dumps([{"messages": []}], protocol=1), "pickle", "Export its rows"),
        (b"\x28\xb5\x2f\xfd\x00", "Zstandard", ".jsonl.zst"),
    ],
)
def test_each_kind_of_file_has_a_mend_that_helps(
    content: bytes, name: str, mend: str, tmp_path: Path
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    (finding,) = validate(path).findings
    assert name in finding.message
    assert mend in finding.fix


def test_an_archive_inside_gzip_is_an_archive() -> None:
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("rows.jsonl", ROW)
    packed = io.BytesIO(gzip.compress(inside.getvalue()))
    assert [finding.code for finding in validate(packed).findings] == ["compressed"]


def test_a_table_with_a_line_break_in_its_first_row_is_a_table() -> None:
    assert told(b'prompt,completion\n"a\nb",c\n')[:2] == (1, "table")


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        ("Привет, как дела", "koi8-r", "KOI8-R"),
        ("Привет, как дела", "cp1251", "WINDOWS-1251"),
        ("Καλημέρα κόσμε", "iso8859-7", "ISO-8859-7"),
        ("مرحبا بالعالم", "cp1256", "WINDOWS-1256"),
        ("שלום לכולם, מה שלומך היום", "cp1255", "WINDOWS-1255"),
        ("สวัสดีชาวโลก", "tis-620", "TIS-620"),
        ("crème brûlée", "latin-1", "WINDOWS-1252"),
    ],
)
def test_an_alphabet_is_known_by_its_common_letters(text: str, codec: str, name: str) -> None:
    assert f"iconv -f {name} " in told(TEXT.replace("Ho", text).encode(codec))[3]


def test_half_an_emoji_in_a_key_can_be_reported() -> None:
    for row in ('{"\\ud83d": 1}', TEXT[:-1] + ', "\\ud83d": 1}'):
        (finding,) = validate(io.BytesIO(row.encode()), target="peft").findings
        assert json.dumps(finding.as_json()).encode()
        assert (finding.message + finding.pointer).encode()


def test_a_pointer_is_the_key_as_it_is() -> None:
    row = TEXT[:-1] + ', "a\u2028\x7f": 1}'
    (finding,) = validate(io.BytesIO(row.encode()), target="peft").findings
    assert finding.pointer == "/a\u2028\x7f"


def test_every_cut_of_a_row_is_one_error_in_its_line() -> None:
    rows = b"".join(ROW.replace(b"Hi", b"Hi %d" % number) + b"\n" for number in range(3))
    last = '{"messages": [{"role": "user", "content": "é\\u00e9\\n😀"}, {"role": "assistant", '
    last += '"content": "a", "weight": 1}]}'
    for end in range(1, len(last.encode())):
        verdict = validate(io.BytesIO(rows + last.encode()[:end]), target="peft")
        (finding,) = verdict.findings
        assert finding.line == 4
        assert finding.code in {"truncated-row", "not-json", "not-utf-8", "bad-escape"}
        assert finding.column is not None
        assert 1 <= finding.column <= end + 1


def test_a_line_too_long_to_be_read_is_one_line_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    long = ROW.replace(b"Hi", b"a" * 2_500_000)
    source.write_bytes(ROW + b"\r\n" + long + b"\n" + ROW.replace(b"Hi", b"Hey") + b"\r\n")
    assert [change.line for change in mend_file(source, out)] == [1, 3]
    assert out.read_bytes() == ROW + b"\n" + long + b"\n" + ROW.replace(b"Hi", b"Hey") + b"\n"
    assert rows_between(out, lines={3})[0].text == ROW.replace(b"Hi", b"Hey")
    with pytest.raises(DatasetInvalid, match="line 2 has more than"):
        convert_file(source, tmp_path / "converted.jsonl", Options())
