"""Why a line is not UTF-8 or not JSON, in the words of the mistake people really make."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.datasets.files.encodings import LATIN, WINDOWS, likely_encoding
from orchestrator.datasets.findings.finding import Flaw

if TYPE_CHECKING:
    from json import JSONDecodeError


class Refusal(NamedTuple):
    """Where the reader stopped (an index into the text), and the code for why."""

    code: str
    position: int
    fields: dict[str, Any] = {}


def explain_utf8(line: bytes, error: UnicodeDecodeError) -> Flaw:
    """The byte that is not UTF-8 and the likely reason."""
    encoding = likely_encoding(line)
    name, is_vague = encoding.name, encoding in (WINDOWS, LATIN)
    damage = _damage(line, error) if is_vague else None
    iconv = f"Save the file as UTF-8: iconv -f {name} -t UTF-8 FILE > OUT.jsonl, if it is {name}."
    fields = {
        "byte": line[error.start],
        "reason": damage or f"it looks like {encoding.words}",
        "mend": "Write the row again from its source; no encoding reads it." if damage else iconv,
    }
    return Flaw("not-utf-8", column=error.start + 1, fields=fields)


def explain_refusal(text: str, error: JSONDecodeError) -> Refusal:
    """Name the mistake behind a refusal of the standard reader.

    Args:
        text: one line, without its end.
        error: what `json` raised for it.
    """
    if whole := _whole_line(text):
        return whole
    at = error.pos
    rest = text[at : at + 40]
    if error.msg.startswith("Extra data"):
        return _after_the_value(text, at, rest)
    if error.msg.startswith("Unterminated string"):
        return Refusal("truncated-row", at, {"reason": "the text that starts here never ends"})
    if error.msg.startswith("Invalid control"):
        return _control_character(at, rest)
    if error.msg.startswith("Invalid \\"):
        return _escape(text, at)
    return _missing_separator(text, at, error.msg) or _wrong_token(text, at)


def _damage(line: bytes, error: UnicodeDecodeError) -> str | None:
    """How bytes that were meant as UTF-8 are broken; None when they were not."""
    byte = line[error.start]
    if error.reason == "unexpected end of data":
        return "the file ends inside a character"
    if byte in (0xC0, 0xC1) or line[error.start : error.start + 2] in _OVERLONG:
        return "an overlong encoding"
    if byte == 0xED:
        return "a surrogate, which UTF-8 does not encode"
    whole = len(line) - len(_CHARACTER.sub(b"", line))
    if whole >= 2 * sum(each >= 0x80 for each in _CHARACTER.sub(b"", line)):
        return "the rest of the line is, so it mixes two encodings or was damaged"
    return None


# What UTF-8 writes with several bytes.
_CHARACTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


_OVERLONG = {bytes((0xE0, second)) for second in range(0x80, 0xA0)} | {
    bytes((0xF0, second)) for second in range(0x80, 0x90)
}


_SPACE = " \t\r\n"
# What looks like nothing, or like a space, and is neither space nor JSON.
_STRAY = "\ufeff\u200b\u200c\u200d\u2060\xa0\u2028\u2029\u3000\x85\x7f"


def _stray(character: str, at: int) -> Refusal:
    return Refusal("stray-character", at, {"found": f"U+{ord(character):04X}"})


def _whole_line(text: str) -> Refusal | None:
    start = text.lstrip(_SPACE)
    at = len(text) - len(start)
    if start and (start[0] in _STRAY or start[0] < " "):
        return _stray(start[0], at)
    if start.startswith("```"):
        return Refusal("markdown-fence", at)
    if start.startswith(("//", "#", "/*")):
        return Refusal("comment", at)
    return None


def _after_the_value(text: str, at: int, rest: str) -> Refusal:
    start = text.lstrip(_SPACE)
    if start[0] not in "{[":  # "404: Not Found", "3: {...}", a line of a pretty-printed object.
        return Refusal("not-json", len(text) - len(start), {"reason": _starting_with(start)})
    if text[:at].rstrip(" \t").endswith("\r"):
        return Refusal("cr-line-ends", at)
    if _ANOTHER_ROW.match(rest):
        return Refusal("two-objects-on-a-line", at)
    if rest.strip() == ",":
        return Refusal("comma-after-row", at)
    if rest[0] in _STRAY or rest[0] < " ":
        return _stray(rest[0], at)
    if rest.startswith(("//", "#", "/*")):
        return Refusal("comment", at)
    return Refusal("extra-data", at, {"found": _shown(rest)})


# Rows with commas between them are what is left of an array.
_ANOTHER_ROW = re.compile(r"(?:,\s*)?[{\[]")


def _starting_with(text: str) -> str:
    return f"it starts with {_shown(text)}"


def _control_character(at: int, rest: str) -> Refusal:
    names = {"\t": ("TAB", "\\t"), "\r": ("carriage return", "\\r"), "\n": ("line feed", "\\n")}
    code = ord(rest[0])
    name, escape = names.get(rest[0], (f"control character U+{code:04X}", f"\\u{code:04x}"))
    return Refusal("control-character", at, {"found": name, "escape": escape})


def _escape(text: str, at: int) -> Refusal:
    # The standard reader points at the backslash or one past it, by the kind of escape.
    start = at if text[at : at + 1] == "\\" else max(text.rfind("\\", 0, at), 0)
    if start + 1 >= len(text):
        return Refusal("truncated-row", start, {"reason": "an escape is cut off"})
    if digits := _CODE_POINT.match(text, start):
        found = f"{digits.group()}, which four hexadecimal digits must follow,"
        return Refusal("bad-escape", start, {"found": found})
    return Refusal("bad-escape", start, {"found": text[start : start + 2]})


def _missing_separator(text: str, at: int, msg: str) -> Refusal | None:
    """Two values side by side; a word right after a text is more likely a quote inside it."""
    rest = text[at:].lstrip(_SPACE)
    start = len(text) - len(rest)
    if msg.startswith("Expecting ':'") and (_VALUE.match(rest) or rest[:1] in ("}", "]", ",")):
        return Refusal("not-json", start, {"reason": "a colon is missing"})
    if msg.startswith("Expecting ','") and _SCALAR.match(rest) and text[start - 1] in _SPACE:
        return Refusal("not-json", start, {"reason": "a comma is missing"})
    opens = rest[:1] in ("{", "[") or (rest[:1] == '"' and not text[:start].rstrip().endswith('"'))
    if msg.startswith("Expecting ','") and opens:
        return Refusal("not-json", start, {"reason": "a comma is missing"})
    return None


_CODE_POINT = re.compile(r"\\u[0-9A-Fa-f]{0,3}")
_WORDS = r"(?:true|false|null|-?\d+(?:\.\d+)?)"
_SCALAR = re.compile(rf"{_WORDS}\s*[,\]}}]")
_VALUE = re.compile(rf'["{{\[]|{_WORDS}\s*[,\]}}]')


def _wrong_token(text: str, at: int) -> Refusal:
    rest = text[at:].lstrip(_SPACE)
    if not rest:
        return _cut_off(text, at)
    if rest[0] in _STRAY or rest[0] < " ":
        return _stray(rest[0], len(text) - len(rest))
    at = len(text) - len(rest)
    before = text[:at].rstrip()
    if before.endswith(",") and rest[0] in "]}":
        return Refusal("trailing-comma", len(before) - 1)
    if rest[0] == "," and text[at + 1 :].lstrip().startswith(("]", "}")):
        return Refusal("trailing-comma", at)
    if rest.startswith(("//", "/*")):
        return Refusal("comment", at)
    if rest[0] in "“”„‟«»‘’":
        return Refusal("curly-quotes", at)
    if rest[0] == "'":
        return Refusal("single-quotes", at)
    if literal := _PYTHON.match(rest):
        return Refusal("python-literal", at, {"found": literal.group()})
    return _wrong_word(text, at, before, rest)


def _wrong_word(text: str, at: int, before: str, rest: str) -> Refusal:
    if before.endswith(("{", ",")) and _BARE_KEY.match(rest):
        return Refusal("unquoted-key", at)
    if before.endswith('"') and (rest[0].isalnum() or rest[0] in "\\“_"):
        return Refusal("unescaped-quote", len(before) - 1)
    if before.endswith('"') and rest[0] == '"':
        return Refusal("not-json", at, {"reason": "a comma or a colon is missing"})
    if constant := _CONSTANT.match(rest):
        return Refusal("not-a-number", at, {"found": constant.group()})
    if not before and text.lstrip()[:1] not in "{[":
        return Refusal("not-json", at, {"reason": _starting_with(rest)})
    if reason := _odd_number(text, at) or _odd_mark(before, rest):
        return Refusal("not-json", at, {"reason": reason})
    if before.endswith((":", "[", ",")) and (word := _BARE_WORD.match(rest)):
        reason = f"{_shown(word.group())} stands without quotes"
        return Refusal("not-json", at, {"reason": reason})
    return Refusal("not-json", at, {"reason": f"{_shown(rest)} is not expected here"})


def _odd_number(text: str, at: int) -> str | None:
    """A number as other languages write it; the reader may have taken the start of it."""
    start = at
    while start and text[start - 1] in "0123456789+-.":
        start -= 1
    found = _NUMBER.match(text, start)
    if found is None or found.end() <= at:
        return None
    return f"{_shown(found.group())} is no number as JSON writes it (1, -0.5, 2e3)"


def _odd_mark(before: str, rest: str) -> str | None:
    if rest[0] in ",]}" and before.endswith(":"):
        return "a value is missing after the colon"
    if rest[0] == ",":
        return "there is a comma too many"
    if rest[0] in "]}":
        return f"a {'}' if rest[0] == ']' else ']'} is missing before this {rest[0]}"
    return None


_NUMBER = re.compile(r"[+-]?\.?\d[\w.+-]*|[+-]\.?(?![\w\"])", re.ASCII)
_PYTHON = re.compile(r"(?:True|False|None)\b")
_BARE_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_BARE_KEY = re.compile(r"[\w$-]+\s*:")
_CONSTANT = re.compile(r"(?i:[+-]?(?:nan|inf(?:inity)?))\b")


def _cut_off(text: str, at: int) -> Refusal:
    if not text.strip():
        return Refusal("not-json", 0, {"reason": "the line is empty"})
    return Refusal("truncated-row", min(at, len(text)), {"reason": "brackets stay open"})


def _shown(text: str) -> str:
    shown = repr(text[:20])
    return shown if len(text) <= 20 else shown[:-1] + "…" + shown[-1]
