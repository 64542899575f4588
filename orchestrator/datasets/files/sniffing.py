"""What a file is before its first line is read: compressed, UTF-16, a pointer, a page, an array."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from orchestrator.datasets.findings.codes import found

if TYPE_CHECKING:
    from orchestrator.datasets.findings.finding import Finding

BOM = b"\xef\xbb\xbf"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
HEAD = 1 << 16

_UNPACK = "Unpack it first, then validate the JSONL inside"
_EXPORT = "Export its rows as JSONL, CSV or TSV"
_CONVERT = "ftctl convert FILE -o OUT.jsonl reads it, with the extra `parquet`"
# What a file starts with, what that is, and what can be done about it.
_MAGIC = (
    (b"PK\x03\x04", "ZIP (an archive or a workbook)", "Unpack it, or export the sheet as CSV"),
    (b"PAR1", "Parquet", _CONVERT),
    (b"BZh", "bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "xz", _UNPACK),
    (b"\x5d\x00\x00", "LZMA", _UNPACK),
    (b"\x04\x22\x4d\x18", "LZ4", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", _UNPACK),
    (b"Rar!\x1a\x07", "RAR", _UNPACK),
    (b"ARROW1", "Arrow", _CONVERT),
    (b"SQLite format 3\x00", "SQLite", _EXPORT),
    (b"%PDF-", "PDF", _EXPORT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office", _EXPORT),
    (b"FEA1", "Feather", _EXPORT),
    (b"ORC\x11", "ORC", _EXPORT),
    (b"Obj\x01", "Avro", _EXPORT),
    (b"\x89HDF\r\n", "HDF5", _EXPORT),
    (b"\x93NUMPY", "NumPy", _EXPORT),
    (b"\x80\x02", "pickle", _EXPORT),
    (b"\x80\x03", "pickle", _EXPORT),
    (b"\x80\x04", "pickle", _EXPORT),
    (b"\x80\x05", "pickle", _EXPORT),
    (b"]q\x00", "pickle", _EXPORT),
    (b"(lp0\n", "pickle", _EXPORT),
    (b"\x89PNG\r\n", "PNG", _EXPORT),
    (b"\xff\xd8\xff", "JPEG", _EXPORT),
    (b"GIF8", "GIF", _EXPORT),
    (b"{\\rtf", "RTF", _EXPORT),
    (b"\x7fELF", "ELF", _EXPORT),
)


def container_finding(head: bytes, name: str) -> Finding | None:
    """The one finding for bytes that are not lines of UTF-8 at all.

    Args:
        head: the first bytes as they lie on the disk.
        name: the file's name; .gz excuses gzip.
    """
    if head.startswith(GZIP):
        return None if name.endswith((".gz", "-")) else found("gzip-named-otherwise")
    if head.startswith(ZSTD):
        if name.endswith((".zst", "-")):
            return None
        return found("compressed", format="Zstandard", mend="Name it .jsonl.zst, or unpack it")
    for magic, format_, mend in _MAGIC:
        if head.startswith(magic):
            return found("compressed", format=format_, mend=mend)
    if head[257:262] == b"ustar":
        return found("compressed", format="tar", mend=_UNPACK)
    return None


def packing_of(head: bytes) -> str | None:
    """What the bytes are packed with, of what can be unpacked."""
    if head.startswith(GZIP):
        return "gzip"
    return "zstd" if head.startswith(ZSTD) else None


def text_finding(head: bytes, *, whole: bool) -> Finding | None:
    """The one finding for text that is not lines of JSON objects.

    Args:
        head: the first bytes, unpacked.
        whole: nothing follows them.
    """
    if encoding := _wide_encoding(head):
        return found("utf-16", line=1, column=1, encoding=encoding)
    body = head.removeprefix(BOM)
    start = body.lstrip()[:512]
    if whole and not start:
        return found("empty-file")
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return found("git-lfs-pointer", line=1, column=1)
    if start[:20].lower().startswith(_MARKUP):
        return found("html-page", line=1, column=1)
    return _spread_json(body, whole=whole) or _table(body)


_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error")


def _wide_encoding(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    if head.startswith((b"\xc0\x7f", b"\xad\xc0\x7f", b"\x4a\xc0\x7f")):
        return "IBM500" if head.startswith(b"\x4a") else "IBM037"  # Both are EBCDIC.
    if head.startswith((b"+AHs-", b"+AHsAIg-", b"+AFs-")):
        return "UTF-7"
    if head[:3] == b"\x00\x00\x00" or (head[1:4] == b"\x00\x00\x00" and head[:1] in b"{[ "):
        return "UTF-32"
    sample = head[:64]
    if len(sample) >= 4 and sample.count(0) >= len(sample) // 3:
        if not any(sample[0:64:2]) and any(sample[1:64:2]):
            return "UTF-16BE"
        if not any(sample[1:64:2]) and any(sample[0:64:2]):
            return "UTF-16LE"
    return None


def _spread_json(body: bytes, *, whole: bool) -> Finding | None:
    """An array, or objects over several lines, told once."""
    line = 1 + body[: len(body) - len(body.lstrip())].count(b"\n")
    body = body.strip() if whole else body.lstrip()
    first, _, rest = body.partition(b"\n")
    if not first.startswith((b"[", b"{")):
        return None
    if first.startswith(b"["):
        return _array(first.rstrip(), rest, line)
    if _ends_open(first) and _goes_on(first, rest):
        return found("pretty-printed", line=line, column=1)
    return None


def _array(first: bytes, rest: bytes, line: int) -> Finding | None:
    if first in (b"[", b"[{") or (_ends_open(first) and rest.strip()):
        return found("pretty-printed", line=line, column=1)
    if not rest.strip() and _ARRAY_OF_OBJECTS.match(first):
        return found("json-array", line=line, column=1)
    return None


_ARRAY_OF_OBJECTS = re.compile(rb"\[\s*\{")


def _ends_open(first: bytes) -> bool:
    """Whether the line stops between two values, where a pretty printer breaks lines."""
    try:
        json.loads(first)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(first.rstrip().decode("utf-8", "replace"))
        return at_end and not error.msg.startswith("Unterminated")
    except (ValueError, RecursionError):
        return False
    return False


def _goes_on(first: bytes, rest: bytes) -> bool:
    """Whether the lines together start with a whole object, or the object is larger than seen."""
    if not rest.strip():
        return False
    text = (first + b"\n" + rest).decode("utf-8", "replace")
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        return first.strip() == b"{" or error.pos >= len(text) - 4
    except (ValueError, RecursionError):
        return False
    return True


def _table(body: bytes) -> Finding | None:
    """Comma- or tab-separated values: two lines with the same number of separators."""
    lines = [line.strip(b"\r") for line in body.split(b"\n", 3)[:2]]
    if len(lines) < 2 or lines[0].lstrip().startswith((b"{", b"[", b'"{', b"#", b"/", b"`")):
        return None
    for separator, format_ in ((b"\t", "TSV"), (b",", "CSV"), (b";", "CSV")):
        columns = lines[0].count(separator)
        follows = lines[1].count(separator) == columns or separator == b"\t"
        # A quoted text may hold line breaks.
        if columns and (follows or (lines[1][:1] == b'"' and _HEADER.fullmatch(lines[0]))):
            if b'{"' in lines[0] or b'": ' in lines[0] or lines[0].startswith(b"'"):
                return None
            if lines[0].startswith(b'"') and not _QUOTED_HEADER.fullmatch(lines[0]):
                return None
            shown = lines[0][:80].decode("utf-8", "replace").replace(separator.decode(), ", ")
            return found("table", line=1, column=1, format=format_, columns=shown)
    return None


_HEADER = re.compile(rb"[A-Za-z_][\w .-]*(?:[,;][A-Za-z_][\w .-]*)+")
_QUOTED_HEADER = re.compile(rb'"[^"]*"(?:[,;\t]"?[^"]*"?)+')
