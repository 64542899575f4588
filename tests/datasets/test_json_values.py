"""JSON values, legal and not, where a row may hold any value: judged alike alone and inside a row."""

from __future__ import annotations

import io
import json

import pytest

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.files.strict import read_strictly

LEGAL = [
    *(b"[]", b"[ ]", b"[null,1,null,2]", b'[""]', b"[1,\r2]", b"\t[2] ", b"[[[[[]]]]]", b'[ "a"]'),
    *(b"{}", b'{"":0}', b'{"a":{"b":[{}]}}', b'{"a\\u0000b":1}', b'{ "a" : 1 , "b" : 2 }'),
    *(b"0", b"-0", b"-1", b"10", b"-123.0", b"1.5", b"1E2", b"1e-2", b"1E+2", b"0e1", b"0E+1"),
    *(b"-0.0", b"123e65", b"1e308", b"-1e-400", b"4.9e-324", b"0." + b"0" * 80 + b"1"),
    *(b"123456789012345678901234567890", b"-9223372036854775809", b"1" + b"0" * 300),
    *(b"true", b"false", b"null", b'""', b'" "', b'"a"', b'"\x7f"', b'"/* */"', b'"// x"'),
    *(
        b'"\\"\\\\\\/\\b\\f\\n\\r\\t"',
        b'"\\u0041"',
        b'"\\u00e9"',
        b'"\\uFFFE"',
        b'"\\uD834\\uDd1e"',
    ),
    *(b'"\\ud83d\\ude00\\ud83d\\ude00"', b'"\\u2028"', b'"\\u200B"', b'"\\u005C"', b'"\\u0022"'),
    *('"é"', '"߿"', '"ࠀ"', '"￿"', '"𐀀"', '"\U0010ffff"', '"\u2028"', '"\u2029"', '"\ufeff"'),
    *('"\u200b"', '"\u0085"', '"\xa0"', '"日本"', '"\ue000"', '"\ufdd0"'),
]

ILLEGAL = [
    *(b"[,]", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]", b"[1:2]", b"[", b"]", b"[1", b"[[]", b"[]]"),
    *(b"[1,", b'["a", ', b"[-", b"[*]", b"[a", b"['a']", b'["a"', b'["a]', b"[\x0c]", b"[\x00]"),
    *(b"{", b"}", b"{,}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1,,"b":2}', b'{"a" 1}', b"{:1}"),
    *(
        b"{a:1}",
        b"{1:1}",
        b"{'a':1}",
        b"{null:1}",
        b'{"a":1 "b":2}',
        b'{"a"=1}',
        b'{"a":1}}',
        b"{[:1}",
    ),
    *(
        b'{"a":1',
        b'{"a":',
        b'{"a"',
        b'{"a',
        b'{"a":1}#',
        b'{"a":1}/**/',
        b'{"a":/**/1}',
        b'{"a"::1}',
    ),
    *(b"+1", b"01", b"-01", b"00", b".5", b"-.5", b"1.", b"1.e2", b"1e", b"1e+", b"1eE2", b"1.2.3"),
    *(b"0x1", b"0b1", b"0o7", b"1_0", b"--1", b"- 1", b"1 0", b"1a", b"1e2.5", b"1,5", b"Infinity"),
    *(b"-Infinity", b"+Inf", b"NaN", b"-NaN", b"nan", b"inf", b"1e999", b"-1e999", b"9" * 400),
    *("１", "١", "½", "1\u00a0"),
    *(b"True", b"None", b"nul", b"nulll", b"tru", b"TRUE", b"undefined", b"a", b"@", b"`a`"),
    *(b"'a'", b'"', b'"a', b'"\\"', b'"\\', b'"\\a"', b'"\\x41"', b'"\\0"', b'"\\u"', b'"\\u12"'),
    *(
        b'"\\u12G4"',
        b'"\\U0041"',
        b'"\\u 041"',
        b'"\\\'"',
        b'"a"b"',
        b'"a\tb"',
        b'"a\x00b"',
        b'"\x1f"',
    ),
    *(
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\ud800\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud800\\n"',
        b'"\\ud800a"',
    ),
    *(
        b'"\xe9"',
        b'"\xff"',
        b'"\x80"',
        b'"\xc0\xaf"',
        b'"\xe0\x80\xaf"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
    ),
    *(
        b'"\xf8\x88\x80\x80\x80"',
        b'"\xc3"',
        b'"\xe2\x82"',
        b'"\xf0\x9f\x98"',
        b"\xef\xbb\xbf",
        b"\xe2\x81\xa0",
    ),
    *("“a”", "«a»", "‘a’"),
    *(
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":1}',
        b'[{"a":{"b":1,"b":1}}]',
        b"[" * 3000 + b"]" * 3000,
    ),
]


def in_bytes(case: str | bytes) -> bytes:
    return case if isinstance(case, bytes) else case.encode()


def inside(value: bytes) -> bytes:
    start = b'{"messages": [{"role": "user", "content": "Hi"}], "answer": '
    return start + value + b"}"


def errors(line: bytes) -> int:
    stream = io.BytesIO(line)
    return validate(stream, target="peft", method="reinforcement", count_tokens=False).errors


@pytest.mark.parametrize("case", LEGAL, ids=repr)
def test_a_legal_value_is_taken(case: str | bytes) -> None:
    value = in_bytes(case)
    assert not read_strictly(value).flaws
    assert not errors(inside(value))
    assert json.loads(inside(value)).keys() == {"messages", "answer"}


@pytest.mark.parametrize("case", [*ILLEGAL, b"", b" "], ids=lambda case: repr(case)[:30])
def test_what_is_no_value_is_one_error_in_its_line(case: str | bytes) -> None:
    value = in_bytes(case)
    assert read_strictly(value).flaws
    row = inside(b'"4"') + b"\n"
    stream = io.BytesIO(row + inside(value) + b"\n" + row)
    verdict = validate(
        stream, target="peft", method="reinforcement", count_tokens=False, content=False
    )
    assert verdict.errors
    assert {finding.line for finding in verdict.findings} == {2}
    first = verdict.findings[0]
    assert first.column is not None
    assert 1 <= first.column <= len(inside(value)) + 1
