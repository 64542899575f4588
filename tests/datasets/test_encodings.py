"""The encoding of a file that is not UTF-8 is named, so that its mend can be typed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.files.tabular import read_table
from orchestrator.domain.errors import DatasetInvalid

TEXTS = {
    "cp932": ("日本語で答えてください。時間は何時ですか？", "CP932"),
    "euc_jp": ("日本語で答えてください。時間は何時ですか？", "EUC-JP"),
    "gbk": ("请用中文回答我的问题，现在几点了？", "GBK"),
    "big5": ("請用中文回答我的問題，現在幾點了？", "BIG5"),
    "cp949": ("지금 몇 시인지 한국어로 대답해 주세요.", "CP949"),
    "cp1251": ("Ответьте, пожалуйста, который сейчас час?", "WINDOWS-1251"),
    "cp1252": ("Où est-il né ? Über Köln – “là-bas”…", "WINDOWS-1252"),
    "latin-1": ("Où est-il né ? Über Köln, là-bas, déjà", "WINDOWS-1252"),
}


@pytest.mark.parametrize("codec", TEXTS)
def test_the_mend_names_the_encoding(codec: str, tmp_path) -> None:
    text, name = TEXTS[codec]
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    line = json.dumps({"messages": messages}, ensure_ascii=False) + "\n"
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line.encode(codec) * 10)
    found = validate(path).findings
    wrong = next(each for each in found if each.code == "not-utf-8")
    assert wrong.line == 1
    assert f"iconv -f {name} -t UTF-8" in str(wrong.fix)


def told(line: bytes) -> tuple[str, str]:
    (finding,) = validate(io.BytesIO(line), target="peft", count_tokens=False).findings
    return finding.message, finding.fix


def test_a_byte_amid_utf_8_is_no_reason_to_read_the_line_in_another_encoding() -> None:
    message, mend = told('{"a": "日本語の'.encode() + b'\xfa"}')
    assert "mixes two encodings or was damaged" in message
    assert "iconv" not in mend
    assert "an overlong encoding" in told(b'{"a": "\xc0\xaf"}')[0]
    for text, codec in (("联通是好的公司 李老师", "gbk"), ("Абонент не отвечает", "cp1251")):
        assert "iconv -f" in told(f'{{"a": "{text}"}}'.encode(codec))[1]


def test_tables_name_their_encoding_and_may_start_as_excel_writes_them(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    for codec, name in (
        ("cp1252", "WINDOWS-1252"),
        ("cp1251", "WINDOWS-1251"),
        ("utf-16", "UTF-16"),
    ):
        text = "Grüße; für" if codec != "cp1251" else "Привет; спасибо"
        table.write_bytes(f"q;a\n{text}\n".encode(codec))
        with pytest.raises(DatasetInvalid) as caught:
            list(read_table(table))
        assert f"iconv -f {name} " in str(caught.value.hint)
    table.write_bytes(b'sep=;\r\nq;a\r\n"x;y";z\r\n')
    assert [(each.line, each.value) for each in read_table(table)] == [(3, {"q": "x;y", "a": "z"})]
