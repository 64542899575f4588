"""Mend what can be mended with certainty, into a new file, naming every change."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from orchestrator.datasets.files.printed import printed_by_python
from orchestrator.datasets.files.reading import is_cut, opened, physical_lines, rest_of_line
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.files.strict import holds_object, read_strictly
from orchestrator.datasets.files.writing import written
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Change(NamedTuple):
    """One mend: the line it was made in, and what was done."""

    line: int
    what: str


def mend_file(source: Path, out: Path, *, force: bool = False) -> list[Change]:
    """Write a mended copy; the source is left as it is.

    What is mended: the byte-order mark, line ends, blank lines, comments, Markdown fences, NUL
    padding, commas after rows and before closing brackets, invisible characters between values,
    several objects on a line, rows that Python printed or that were encoded twice, role names of other tools, weights of
    other roles, null where a key should be absent, arguments that are objects or encoded twice.
    All else is copied, and remains a finding.

    Args:
        source: a JSONL file.
        out: where the copy goes.
        force: take the place of a file that is there.

    Raises:
        DatasetInvalid: the file is not lines of JSON at all.
        UsageError: `out` is taken.
    """
    changes: list[Change] = []
    with opened(source) as opened_source:
        if opened_source.refusal is not None:
            refusal = opened_source.refusal
            raise DatasetInvalid(f"{source}: {refusal.message}", hint=refusal.fix)
        with written(out, force=force) as target:
            stream = opened_source.stream
            for number, line in enumerate(physical_lines(stream), 1):
                if is_cut(line):  # Too long to be read is too long to be mended.
                    target.write(line)
                    target.writelines(rest_of_line(stream))
                    continue
                for row in _mended(number, line, changes):
                    target.write(row + b"\n")
    return changes


# Byte-order marks of joined files, zero-width spaces, record separators (RFC 7464), Ctrl-Z.
_STRAY = re.compile(rb"(?:\xef\xbb\xbf|\xe2\x80[\x8b-\x8d]|\xe2\x81\xa0|\x1e|\x1a)+[ \t]*")


def _mended(number: int, line: bytes, changes: list[Change]) -> Iterator[bytes]:
    if number == 1 and line.startswith(BOM):
        line = line.removeprefix(BOM)
        changes.append(Change(number, "the byte-order mark was removed"))
    if line.endswith(b"\r\n"):
        changes.append(Change(number, "CR LF became LF"))
    bare = line.strip(b" \t\r\n").rstrip(b"\x00")
    if len(bare) < len(line.strip(b" \t\r\n")):
        changes.append(Change(number, "NUL bytes were cut off"))
    if stray := _STRAY.match(bare):
        bare = bare[stray.end() :]
        changes.append(Change(number, "characters before the row that cannot be seen were removed"))
    if not bare or bare.startswith((b"#", b"//", b"```")):
        changes.append(Change(number, "a line without a row was removed"))
        return
    for row in _objects(number, bare, changes):
        yield _mended_row(number, row, changes)


def _objects(number: int, bare: bytes, changes: list[Change]) -> Iterator[bytes]:
    """The rows of one line, with commas taken out where they cannot stand."""
    parsed = read_strictly(bare)
    if holds_object(parsed.value):
        bare = str(parsed.value).encode().strip()
        changes.append(Change(number, "a row that was encoded twice is encoded once"))
    code = parsed.flaws[0].code if parsed.flaws else ""
    if code == "comma-after-row":
        changes.append(Change(number, "the comma after the row was removed"))
        bare = bare.rstrip(b", \t")
    elif code in _BETWEEN and (left := _between(bare, *_BETWEEN[code][:2])) != bare:
        changes.append(Change(number, _BETWEEN[code][2]))
        yield from _objects(number, left.strip(), changes)  # Others may follow.
        return
    elif code in {"single-quotes", "python-literal"} and (row := printed_by_python(bare)):
        changes.append(Change(number, "a row as Python prints it became JSON"))
        bare = row
    elif code in {"two-objects-on-a-line", "cr-line-ends"}:
        rows = _apart(bare.decode("utf-8"))
        if rows is not None:
            changes.append(Change(number, f"{len(rows)} objects were put on lines of their own"))
            yield from rows
            return
    yield bare


# What stands between values and texts, what takes its place, and what is told of it: commas before
# a bracket; spaces that JSON does not know, control characters and what has no width; comments.
_BETWEEN = {
    "trailing-comma": (rb",(?=\s*[\]}])", b"", "a comma before a closing bracket was removed"),
    "stray-character": (
        rb"\xc2[\x85\xa0]|\xe2\x80[\x8b-\x8d\xa8\xa9]|\xe2\x81\xa0|\xe3\x80\x80|\xef\xbb\xbf"
        rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
        b" ",
        "characters that cannot be seen were removed",
    ),
    "comment": (rb"/\*.*?\*/|//.*|#.*", b" ", "a comment was removed"),
}


def _between(line: bytes, unwanted: bytes, instead: bytes) -> bytes:
    """The line without what is unwanted outside of texts."""
    expression = re.compile(rb'"(?:[^"\\]|\\.)*"|(' + unwanted + rb")", re.DOTALL)
    return expression.sub(lambda found: found[0] if found[1] is None else instead, line)


def _apart(text: str) -> list[bytes] | None:
    decoder, rows, at = json.JSONDecoder(), [], 0
    try:
        while at < len(text):
            _, end = decoder.raw_decode(text, at)
            rows.append(text[at:end].encode("utf-8"))
            at = end
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
    except (ValueError, RecursionError):
        return None
    return rows


def _mended_row(number: int, row: bytes, changes: list[Change]) -> bytes:
    parsed = read_strictly(row)
    if parsed.flaws or not isinstance(parsed.value, dict):
        return row
    done = list(_mend_messages(parsed.value))
    if not done:
        return row
    changes.extend(Change(number, what) for what in done)
    return msgspec.json.encode(parsed.value)


def _mend_messages(row: dict[str, Any]) -> Iterator[str]:
    holder = row["input"] if isinstance(row.get("input"), dict) else row
    for key in ("tools", "parallel_tool_calls", "functions"):
        if key in holder and holder[key] is None:
            del holder[key]
            yield f"{key}: null was left out"
    outputs = (row.get(key) for key in ("preferred_output", "non_preferred_output"))
    for messages in (holder.get("messages"), *outputs):
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict):
                yield from _mend_message(message)


def _mend_message(message: dict[str, Any]) -> Iterator[str]:
    role = message.get("role")
    if isinstance(role, str) and (meant := _ROLES.get(role.lower())) and meant != role:
        message["role"] = meant
        yield f"the role {role!r} became {meant!r}"
    for key in ("name", "weight", "tool_calls", "function_call", "tool_call_id"):
        if key in message and message[key] is None:
            del message[key]
            yield f"{key}: null was left out"
    if "weight" in message and message.get("role") != "assistant":
        del message["weight"]
        yield f"the weight of a {message.get('role')} message was removed"
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            yield from _mend_call(call["function"])


_ROLES = {"human": "user", "gpt": "assistant"} | {
    role: role for role in ("system", "developer", "user", "assistant", "tool")
}


def _mend_call(function: dict[str, Any]) -> Iterator[str]:
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
        yield "arguments that were an object became JSON as a text"
        return
    if isinstance(arguments, str) and arguments.startswith('"'):
        inner = read_strictly(arguments.encode()).value
        if holds_object(inner):
            function["arguments"] = inner
            yield "arguments that were encoded twice are encoded once"
