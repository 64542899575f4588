"""The encoding of a file that is not UTF-8 is named, so that its mend can be typed."""

from __future__ import annotations

import json

import pytest

from orchestrator.datasets.checking.validation import validate

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
