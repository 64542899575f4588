"""Files of any bytes through every command that reads a dataset: an answer each, never a traceback.

    python -m tests.reliability.fuzzed_files --files 5000 --seed 1

Files of the test data, of every dialect and of other kinds (tables, packed, other encodings) are mutated as
bytes: flipped, cut, doubled, spliced with those of other files. What is then said is held against what
`json` alone makes of the same bytes: a file that validates holds one object a line; every line that is no
JSON is an error there, and no other line is called broken; a mended file has no more errors than before;
what is converted is rows; what is split is all there.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import cli
from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.findings.codes_of_lines import LINE_KINDS
from tests.reliability import frame

DATA = Path(__file__).parents[1] / "data" / "datasets"
LARGEST = 12_000
PIECES = (
    b"\n", b"\r\n", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b'"', b"\\",
    b"{", b"}", b"[", b"]", b",", b":", b"[" * 3000, b'{"a":' * 3000, b"NaN", b"-0", b"1E400", b"9" * 5000, b"null",
    b"\t", b",,", b'""', b"\xc2\xa0", b"\xe2\x80\xa8", b"'", b"//x\n", b"```\n", b"\x1f\x8b", b"PK\x03\x04", b"\n\n\n",
    b'{"messages": []}\n', b'"role": "user", ', b'"content": null', b" " * 3000, b"<html>", b"a,b\n1,2\n", b"\x1a",
)  # fmt: skip
COMMANDS = (
    ("validate", ()), ("validate", ("--json",)), ("validate", ("--form-only",)), ("validate", ("--show", "1")),
    ("validate", ("--histogram", "--near")), ("validate", ("--task", "classification", "--for", "peft")),
    ("validate", ("--method", "dpo", "--show", "2")), ("validate", ("--method", "reinforcement", "--json")),
    ("validate", ("--for", "peft")), ("validate", ("--for", "peft", "--json", "--no-tokens")),
    ("fix", ("--for", "peft")), ("fix", ()), ("fix", ("--method", "dpo")), ("split", ()), ("split", ("--group-by", "id")),
    ("convert", ()), ("convert", ("--allow-loss",)), ("convert", ("--method", "dpo", "--allow-loss")),
    ("convert", ("--method", "reinforcement", "--allow-loss")), ("convert", ("--to", "sharegpt")),
    ("convert", ("--to", "anthropic.messages", "--allow-loss")), ("convert", ("--to", "gemini.vertex", "--json")),
    ("convert", ("--map", "user={question}", "--map", "assistant={answer.0.text}")),
    ("convert", ("--columns", "a,b", "--user", "{a}", "--assistant", "{b}")),
)  # fmt: skip
_BROKEN = re.compile(r"Traceback|bug in ftctl|nested too deep \(|Out of memory")


class Seen(NamedTuple):
    """What a share of the files came to."""

    files: int
    runs: int
    bad: list[str]
    naive: int
    codes: Counter[str]


def main() -> int:
    return frame.run(__doc__, _all, files=5000, seed=1, workers=2)


def _all(options: argparse.Namespace) -> dict[str, Any]:
    shares = frame.shared(partial(share_of, options), options.workers)
    bad = [said for share in shares for said in share.bad]
    naive = sum(share.naive for share in shares)
    codes = sum((share.codes for share in shares), Counter[str]())
    return {
        "passed": not bad and naive > 0,
        "trials": sum(share.runs for share in shares),
        "files": sum(share.files for share in shares),
        "exit codes": dict(sorted(codes.items())),
        "files that json, line by line, does not read, as it must be": naive,
        "bad": bad[:10],
        "all that is bad": len(bad),
    }


def share_of(options: argparse.Namespace, which: int, many: int) -> Seen:
    """What one process of so many finds."""
    good, runs, naive, bad, codes = seeds(), 0, 0, list[str](), Counter[str]()
    numbers = range(which, options.files, many)
    for number in numbers:
        chance = random.Random(f"{options.seed} {number}")
        content, suffix = _mutated(good, chance)
        naive += _rows_of(content) is None
        for command, arguments in chance.sample(COMMANDS, 3):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"data{suffix}"
                path.write_bytes(content)
                code, wrong = tried(path, command, arguments)
            runs += 1
            codes[f"{command} {code}"] += 1
            if wrong:
                bad.append(f"seed {options.seed}, file {number}, {command} {arguments}: {wrong}")
    return Seen(len(numbers), runs, bad, naive, codes)


def seeds() -> list[tuple[bytes, str]]:
    """Contents and the ends of their names."""
    files = [path for path in sorted(DATA.rglob("*")) if path.is_file()]
    found = [(path.read_bytes()[:LARGEST], path.suffix) for path in files]
    zoo = json.loads((DATA / "format_zoo.json").read_bytes())
    found += [(json.dumps(each).encode() + b"\n", ".jsonl") for each in _objects(zoo)]
    packed = [(gzip.compress(content), suffix) for content, suffix in found[:20]]
    wide = [
        (content.decode("utf-8", "replace").encode("utf-16"), end) for content, end in found[:20]
    ]
    return [*found, *packed, *wide, (b"question,answer\nhi,ho\n" * 12, ".csv"), (b"", ".jsonl")]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of some size in a JSON value."""
    if isinstance(value, dict):
        if len(value) > 1:
            yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _objects(inner)


def _mutated(good: list[tuple[bytes, str]], chance: random.Random) -> tuple[bytes, str]:
    content, suffix = chance.choice(good)
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(3000)), suffix
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice((0, 1, 2, 8, 60, 1000)))
        other = chance.choice(good)[0]
        content = chance.choice(
            (
                content[:start] + bytes([chance.randrange(256)]) + content[start + 1 :],
                content[:start] + content[end:],
                content[:end] + content[start:end] * chance.choice((1, 1, 30)) + content[end:],
                content[:start],
                content[:start] + chance.choice(PIECES) + content[start:],
                content[:start] + chance.choice(PIECES) + content[end:],
                content[:start] + other[chance.randrange(len(other) + 1) :],
                content[: content.rfind(b"\n", 0, start) + 1] + other[other.find(b"\n", end) + 1 :],
                content + other,
            )
        )
    return content, suffix


def tried(path: Path, command: str, arguments: tuple[str, ...]) -> tuple[int, str | None]:
    """Run one command on a file: its exit code, and what is wrong with what it did."""
    before = path.read_bytes()
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = cli.run([*_TYPED[command](path), *arguments])
    everything = printed.getvalue() + said.getvalue()
    if broken := _BROKEN.search(everything):
        return code, everything[max(0, broken.start() - 100) :][:600]
    if code not in {0, 1, 2} or not everything:
        return code, f"exit code {code}, {everything[:300]!r}"
    if path.read_bytes() != before:
        return code, "the file was changed"
    if command == "validate" and "--json" in arguments:
        return code, _misplaced(path, json.loads(printed.getvalue()))
    return code, _HELD[command](path, arguments) if code == 0 else None


_TYPED: dict[str, Callable[[Path], list[str]]] = {
    "validate": lambda path: ["validate", str(path)],
    "fix": lambda path: ["validate", str(path), "--fix", str(path.parent / "out.jsonl")],
    "convert": lambda path: ["convert", str(path), "-o", str(path.parent / "out.jsonl")],
    "split": lambda path: ["split", str(path), "--out", str(path.parent / "out")],
}


def _misplaced(path: Path, verdict: dict[str, Any]) -> str | None:
    """A line that is called what it is not; a file that is refused as a whole has none."""
    if not verdict["rows"]:
        return None
    errors = [each for each in verdict["findings"] if each["severity"] == "error"]
    told = {each["line"] for each in errors}
    called = {each["line"]: each["code"] for each in errors if each["code"] in _NO_JSON}
    for number, line in enumerate(_unpacked(path).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        reads = not line.strip() or _reads(line)
        if reads is False and number not in told:
            return f"line {number} is no JSON, and nothing is said: {line[:200]!r}"
        if reads and number in called:
            return f"line {number} is JSON, and is called {called[number]}: {line[:200]!r}"
    return None


_NO_JSON = set(LINE_KINDS) - {
    *("blank-line", "line-too-long", "number-out-of-range", "lone-surrogate", "nested-too-deep"),
    *("duplicate-key", "row-encoded-twice", "row-not-object"),
}


def _reads(line: bytes) -> bool | None:
    """Whether `json` reads a line; None where only depth is in its way."""
    try:
        json.loads(line.decode(), parse_constant=_refused)
    except RecursionError:
        return None
    except ValueError:
        return False
    return True


def _valid(path: Path, arguments: tuple[str, ...]) -> str | None:
    if "--show" in arguments or _rows_of(_unpacked(path)):
        return None
    return "it is no file of rows, and is called valid"


def _mended(path: Path, arguments: tuple[str, ...]) -> str | None:
    method = "dpo" if "dpo" in arguments else "supervised"
    was, out = validate(path, method=method), path.parent / "out.jsonl"
    if not out.exists():
        return None
    now = validate(out, method=method)
    return f"{was.errors} errors became {now.errors}" if now.errors > was.errors else None


def _converted(path: Path, _arguments: tuple[str, ...]) -> str | None:
    rows = _rows_of((path.parent / "out.jsonl").read_bytes())
    return None if rows else "what was written holds no rows"


def _cut(path: Path, arguments: tuple[str, ...]) -> str | None:
    were = _rows_of(_unpacked(path))
    if were is None or "--group-by" in arguments:
        return None
    are = [
        row for file in (path.parent / "out").iterdir() for row in _rows_of(file.read_bytes()) or ()
    ]
    return (
        None if sorted(map(repr, were)) == sorted(map(repr, are)) else f"{were} became {are}"[:600]
    )


_HELD = {"validate": _valid, "fix": _mended, "convert": _converted, "split": _cut}


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _lines(content: bytes) -> list[bytes]:
    lines = (line.strip(b" \t\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    return [line for line in lines if line]


def _rows_of(content: bytes) -> list[dict[str, Any]] | None:
    """The objects of a file, one a line, as `json` alone reads them; None where it does not."""
    try:
        rows = [json.loads(line.decode(), parse_constant=_refused) for line in _lines(content)]
    except (ValueError, RecursionError):
        return None
    return rows if all(isinstance(row, dict) for row in rows) else None


def _refused(name: str) -> None:
    raise ValueError(name)


if __name__ == "__main__":
    sys.exit(main())
