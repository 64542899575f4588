"""Codes for a line that is not one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.datasets.findings.finding import Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

_E = Severity.ERROR
_ONE_LINE = "Write each row with a JSON library (json.dumps), one line each."

LINE_KINDS: Mapping[str, Kind] = {
    "blank-line": Kind(
        Severity.WARNING,
        "The line is blank.",
        "Remove the line; ftctl leaves it out of what it uploads.",
    ),
    "line-too-long": Kind(
        _E,
        "The line has more than {most} bytes; it was not read.",
        "Split the row; no target trains on a row of that size.",
    ),
    "nul-bytes": Kind(
        _E,
        "The line holds NUL bytes: a crash or a preallocated file leaves them behind.",
        "Cut them off: tr -d '\\000' < FILE > OUT.jsonl.",
    ),
    "not-utf-8": Kind(
        _E,
        "Byte 0x{byte:02x} is not UTF-8: {reason}.",
        "{mend}",
    ),
    "not-json": Kind(
        _E,
        "This is not JSON: {reason}.",
        _ONE_LINE,
    ),
    "truncated-row": Kind(
        _E,
        "The JSON ends in the middle: {reason}.",
        "Write the row again; a line break inside a text must be written as \\n.",
    ),
    "markdown-fence": Kind(
        _E,
        "This is a Markdown code fence, not a row.",
        "Remove the line.",
    ),
    "comment": Kind(
        _E,
        "This is a comment; JSON has none.",
        "Remove it; ftctl validate FILE --fix OUT.jsonl does.",
    ),
    "two-objects-on-a-line": Kind(
        _E,
        "A second object starts on the same line.",
        "Put a line break between the two.",
    ),
    "comma-after-row": Kind(
        _E,
        "The row ends with a comma, as in an array.",
        "Remove the comma; rows are separated by line breaks alone.",
    ),
    "extra-data": Kind(
        _E,
        "Something follows the object: {found}.",
        "Remove what follows the object.",
    ),
    "trailing-comma": Kind(
        _E,
        "A comma stands before a closing bracket.",
        "Remove the comma.",
    ),
    "single-quotes": Kind(
        _E,
        "Texts stand in single quotes, as Python prints them.",
        "Write rows with json.dumps(row), not with str(row).",
    ),
    "python-literal": Kind(
        _E,
        "{found} is Python; JSON has true, false and null.",
        "Write rows with json.dumps(row), not with str(row).",
    ),
    "curly-quotes": Kind(
        _E,
        "A curly quote stands where JSON needs a straight one.",
        'Replace it by ".',
    ),
    "unquoted-key": Kind(
        _E,
        "A key stands without quotes.",
        "Put the key in double quotes.",
    ),
    "control-character": Kind(
        _E,
        "A raw {found} stands inside a text.",
        "Write it as {escape}.",
    ),
    "stray-character": Kind(
        _E,
        "{found} stands where JSON allows no character: it cannot be seen on a screen.",
        "Remove it; ftctl validate FILE --fix OUT.jsonl does.",
    ),
    "bad-escape": Kind(
        _E,
        "{found} is no escape of JSON.",
        "Write the backslash as \\\\, or the character as \\uXXXX.",
    ),
    "unescaped-quote": Kind(
        _E,
        "A text ends early: a double quote inside it is not escaped.",
        'Write the inner quote as \\".',
    ),
    "not-a-number": Kind(
        _E,
        "{found} is not JSON (pandas and json.dumps write it for missing numbers).",
        "Write null, or leave the key out.",
    ),
    "number-out-of-range": Kind(
        _E,
        "The number is too large for a double.",
        "Write it as a text, or leave the key out.",
    ),
    "lone-surrogate": Kind(
        _E,
        "Half of a surrogate pair (\\u{found:04x}) stands alone: an emoji was cut in two.",
        "Write the whole character, or leave it out.",
    ),
    "nested-too-deep": Kind(
        _E,
        "The row is nested too deep to be read.",
        "Flatten the row; a chat example needs about ten levels.",
    ),
    "duplicate-key": Kind(
        _E,
        "The key {key} occurs twice; most readers keep the last and drop the other.",
        "Keep one of the two.",
    ),
    "row-encoded-twice": Kind(
        _E,
        "The row is a text that holds an object: it was encoded twice.",
        "Call json.dumps once; ftctl validate FILE --fix OUT.jsonl mends it.",
    ),
    "row-not-object": Kind(
        _E,
        "The row is {found}, not an object.",
        'Write {{"messages": [...]}}.',
    ),
}
