"""Files of other kinds, other encodings and other habits: one clear finding, at its place."""

from __future__ import annotations

import io
import itertools
import sqlite3
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.files.mending import mend_file

ROW = b'{"messages": [{"role": "user", "content": "Hi %d"}, {"role": "assistant", "content": "Ho"}]}\n'
TEN = b"".join(ROW % number for number in range(10))
TEXT = TEN.decode()
LAST = ROW % 11


def places(content: bytes) -> set[tuple[int | None, int | None, str]]:
    verdict = validate(io.BytesIO(content), target="peft", count_tokens=False)
    return {(each.line, each.column, each.code) for each in verdict.findings}


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-be", "utf-32-le", "utf-16-be", "cp500"])
def test_other_encodings_are_named_once(encoding: str) -> None:
    assert places(TEXT.encode(encoding)) == {(1, 1, "utf-16")}


def test_utf_7_is_named() -> None:
    content = TEXT.replace("{", "+AHs-").replace("}", "+AH0-").encode()
    assert places(content) == {(1, 1, "utf-16")}


@pytest.mark.parametrize(
    "head",
    [
        b"%PDF-1.7\n",
        b"PAR1\x15\x04",
        b"ARROW1\x00\x00",
        b"7z\xbc\xaf\x27\x1c",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x80\x04\x95\x10\x00",
        b"\x89PNG\r\n\x1a\n",
        b"Obj\x01\x04",
        b"\x89HDF\r\n\x1a\n",
        b"\x93NUMPY\x01\x00",
        b"a.jsonl" + b"\x00" * 250 + b"ustar\x0000",
    ],
)
def test_other_kinds_of_files_are_named_once(head: bytes) -> None:
    assert places(head + b"\n\x00\xff\n") == {(None, None, "compressed")}


def test_a_workbook_and_a_database_are_named(tmp_path: Path) -> None:
    book = tmp_path / "book.jsonl"
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    base = tmp_path / "base.jsonl"
    connection = sqlite3.connect(base)
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()
    for path in (book, base):
        assert set(validate(path).counts) == {"compressed"}


@pytest.mark.parametrize(
    ("bad", "column", "code"),
    [
        (LAST.rstrip() + b" // done\n", 94, "comment"),
        (LAST.rstrip() + b";\n", 93, "extra-data"),
        (LAST.rstrip() + b"}\n", 93, "extra-data"),
        (b"/* x */ " + LAST, 1, "comment"),
        (LAST.rstrip() * 3 + b"\n", 93, "two-objects-on-a-line"),
        (repr({"messages": [{"role": "user", "content": "it's"}]}).encode(), 2, "single-quotes"),
        (b"\x1e" + LAST, 1, "stray-character"),
        (b"\xef\xbb\xbf" + LAST, 1, "stray-character"),
        (LAST.replace(b'{"m', b'{\xef\xbb\xbf"m'), 2, "stray-character"),
        (LAST.replace(b": ", b":\xc2\xa0", 1), 13, "stray-character"),
        (b"\x1a", 1, "stray-character"),
        (LAST.rstrip() + b"\x0b" + LAST, 93, "stray-character"),
        (b"[" * 2000 + b"]" * 2000, 101, "nested-too-deep"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, 501, "nested-too-deep"),
        (LAST.replace(b'"Ho"', b'"Ho","weight":1e999'), 100, "number-out-of-range"),
        (LAST.replace(b'"Ho"', b'"Ho","weight":' + b"9" * 400), 100, "number-out-of-range"),
        (LAST.replace(b'"Ho"', b'"Ho","weight":' + b"9" * 5000), 100, "number-out-of-range"),
        (LAST.replace(b'"Ho"', b'"Ho","weight":01'), 101, "not-json"),
        (LAST.replace(b'"Ho"', b'"Ho","weight":.5'), 100, "not-json"),
        (LAST.replace(b"Ho", b"H\x00o"), 88, "nul-bytes"),
        (LAST.replace(b"Ho", b"\xf4\x90\x80\x80"), 87, "not-utf-8"),
        (LAST.replace(b"Ho", b"\xed\xa0\xbd\xed\xb8\x80"), 87, "not-utf-8"),
        (LAST.replace(b"Ho", b"\\udc00\\ud800"), 86, "lone-surrogate"),
        (LAST.replace(b'"Ho"', b"undefined"), 86, "not-json"),
        (b"<<<<<<< HEAD\n", 1, "not-json"),
        (b"null\n", 1, "row-not-object"),
    ],
)
def test_one_bad_row_after_ten_good_ones(bad: bytes, column: int, code: str) -> None:
    assert places(TEN + bad) == {(11, column, code)}


@pytest.mark.parametrize("number", [b"1", b"1.0", b"1e0", b"10E-1"])
def test_every_way_to_write_one_is_one(number: bytes) -> None:
    assert places(TEN + LAST.replace(b'"Ho"', b'"Ho","weight":' + number)) == set()


def test_ten_thousand_keys_are_ten_thousand_findings() -> None:
    keys = b",".join(b'"k%d":1' % number for number in range(10_000))
    found = places(TEN + LAST.rstrip()[:-1] + b"," + keys + b"}\n")
    assert len(found) == 1000
    assert {(line, code) for line, _, code in found} == {(11, "unknown-key")}


def test_a_quoted_table_is_a_table() -> None:
    assert places(b'"question","answer"\n"a","b"\n') == {(1, 1, "table")}


class Endless(io.RawIOBase):
    """One line of many megabytes, made as it is read."""

    def __init__(self, size: int) -> None:
        self._left = itertools.chain([LAST[:40]], itertools.repeat(b"x" * 65536, size >> 16), [TEN])

    def read(self, _size: int = -1) -> bytes:
        return next(self._left, b"")


def test_a_line_of_200_megabytes_needs_little_memory() -> None:
    tracemalloc.start()
    try:
        verdict = validate(Endless(200 << 20), target="peft", count_tokens=False)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.counts["line-too-long"] == 1
    assert peak < 100 << 20


def test_what_cannot_be_seen_is_taken_off_the_start(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(b"\x1e" + line for line in TEN.splitlines(keepends=True)) + b"\x1a")
    assert mend_file(source, out)
    assert out.read_bytes() == TEN
