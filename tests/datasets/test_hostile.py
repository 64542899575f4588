"""Bytes made to hurt: a finding each, never an exception, never much memory."""

from __future__ import annotations

import argparse
import gzip
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import cli
from orchestrator.datasets.checking.validation import Validation, validate
from orchestrator.datasets.files import reading
from orchestrator.domain.jobs.job import Method
from tests.reliability import fuzzed_files

GOOD = (
    b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}\n'
)


def check(content: bytes, *, target: str = "peft") -> Validation:
    return validate(io.BytesIO(content), target=target)


def codes(content: bytes) -> set[str]:
    return set(check(content).counts)


def row(text: str) -> bytes:
    return b'{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"a"}]}\n' % (
        text.encode()
    )


def test_a_good_row_is_good() -> None:
    assert check(GOOD).ok


def test_a_megabyte_of_spaces_is_a_blank_line() -> None:
    assert "blank-line" in codes(b" " * 1_000_000 + b"\n" + GOOD)


def test_a_million_spaces_in_a_message_are_counted() -> None:
    verdict = check(row("a" + " " * 1_000_000 + "b"))
    assert verdict.ok
    assert verdict.tokens is not None


@pytest.mark.parametrize("depth", [100, 500, 990, 2_000, 100_000])
def test_nesting_never_raises(depth: int) -> None:
    tools = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],'
    tools += b'"tools":[{"type":"function","function":{"name":"f","parameters":'
    tools += b'{"a":' * depth + b"1" + b"}" * depth + b"}}]}\n"
    verdict = check(tools)
    assert verdict.ok or "nested-too-deep" in verdict.counts


@pytest.mark.parametrize("filler", [b"[", b'{"a":', b"[{", b'"', b"\\", b"\x00", b"\xff", b"9"])
def test_a_line_of_one_thing(filler: bytes) -> None:
    assert not check(filler * 300_000).ok


def test_a_line_that_is_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.datasets.checking import scanning

    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    monkeypatch.setattr(scanning, "LONGEST_LINE", 1000)
    verdict = check(GOOD + b"x" * 5000 + b"\n" + GOOD)
    assert verdict.rows == 3
    assert [(each.line, each.code) for each in verdict.findings if each.severity == "error"] == [
        (2, "line-too-long")
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (row("\\ud800"), "lone-surrogate"),
        (row("\\udc00 x"), "lone-surrogate"),
        (row("x").replace(b'"x"', b"NaN"), "not-a-number"),
        (row("x").replace(b'"x"', b"1e999"), "number-out-of-range"),
        (row("x").replace(b'"x"', b"9" * 5000), "number-out-of-range"),
        (row("x").replace(b"x", b"\xc0\xaf"), "not-utf-8"),
        (row("x").replace(b"x", b"\xed\xa0\x80"), "not-utf-8"),
        (row("x").replace(b'"content":"x"', b'"content":"x","content":"y"'), "duplicate-key"),
        (row("x").rstrip() + b"\x00" * 64, "nul-bytes"),
        (b"\xff\xfe" + GOOD.decode().encode("utf-16-le"), "utf-16"),
        (GOOD.decode().encode("utf-16-be"), "utf-16"),
        (GOOD.decode().encode("utf-32"), "utf-16"),
        (b"\x28\xb5\x2f\xfd\x00\x00", "broken-gzip"),
        (b"PK\x03\x04", "compressed"),
        (b"<!DOCTYPE html><html></html>", "html-page"),
        (gzip.compress(GOOD * 2000)[:-20], "broken-gzip"),
        (b"\x1f\x8b\x08junk", "broken-gzip"),
        (b"None\n", "python-literal"),
        (b"", "empty-file"),
    ],
)
def test_a_hostile_line_has_its_code(content: bytes, code: str) -> None:
    assert code in codes(content)


def test_a_repeated_key_is_found_in_every_place() -> None:
    places = (
        b'{"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"a"},'
        b'{"role":"assistant","content":"b"}]}\n',
        b'{"messages":[{"role":"user","content":"a","name":"x","name":"y"},'
        b'{"role":"assistant","content":"b"}]}\n',
        b'{"messages":[{"role":"user","content":"\\": \\": a"},'
        b'{"role":"assistant","content":"b","content":"c"}]}\n',
        b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],'
        b'"tools":[{"type":"function","function":{"name":"f","name":"f"}}]}\n',
        b'{"messages" :[{"role" :"user","content":"a"},{"role":"assistant","content":"b",'
        b'"weight":1,"weight":1}]}\n',
    )
    for place in places:
        assert "duplicate-key" in codes(place), place


def test_text_that_looks_like_keys_is_not_accused() -> None:
    assert check(row('{\\"a\\": 1, \\"a\\": 2} \\":\\":')).ok


@given(st.binary(max_size=2000))
def test_random_bytes_never_raise(content: bytes) -> None:
    for method in Method:
        validate(io.BytesIO(content), method=method, count_tokens=False)


def _mutations(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), 7):
        for byte in b'\x00\xff"\\{}[],:\n\r1':
            yield content[:at] + bytes([byte]) + content[at + 1 :]
        yield content[:at]
        yield content[:at] + content[at + 1 :]


def test_mutated_rows_never_raise() -> None:
    for content in _mutations(GOOD):
        check(content)
        check(GOOD + content)


def test_what_is_packed_and_damaged_late_is_told_by_whoever_reads_it(tmp_path: Path) -> None:
    said = random.Random(1).randbytes(2_000_000).hex()
    rows = [row(said[at : at + 2000]) for at in range(0, len(said), 2000)]
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join([*rows[:10], *rows]), compresslevel=1)[:-20_000])
    verdict = validate(path, count_tokens=False)
    assert verdict.counts["broken-gzip"] == 1
    assert verdict.counts["duplicate-row"] == 10
    for args in (["--show", "99999"], ["--fix", str(tmp_path / "out.jsonl")]):
        assert cli.run(["validate", str(path), *args]) == 1
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("share", range(4))
def test_files_of_any_bytes_get_an_answer_from_every_command(share: int) -> None:
    options = argparse.Namespace(files=100, seed=7)
    seen = fuzzed_files.share_of(options, share, 4)
    assert not seen.bad
    assert 0 < seen.naive < seen.files
