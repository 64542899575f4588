"""A million broken rows: each a finding or a row, never an exception, never much memory.

    python -m tests.reliability.fuzzed_rows --lines 1000000 --seed 1

Good rows of every method are mutated: bytes flipped, cut, doubled, swapped with those of other rows, and
replaced by what breaks parsers. They are checked in files of some thousand lines by processes that forget
nothing between files. The negative control is what one writes first: json.loads and two subscripts.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import sys
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

from orchestrator.datasets.checking.validation import validate
from orchestrator.domain.jobs.job import Method
from tests.reliability import frame

LINES_A_FILE = 5000
MOST_MB = 200
_ASK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi \u00e9"}, {"role": "assistant", "content": "Ho"}]
}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
GOOD: dict[Method, list[dict[str, Any]]] = {
    Method.SUPERVISED: [_ASK, _ASK | {"tools": [_TOOL], "parallel_tool_calls": False}],
    Method.DPO: [
        {
            "input": {"messages": _ASK["messages"][:1]},
            "preferred_output": [{"role": "assistant", "content": "yes"}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}],
        }
    ],
    Method.REINFORCEMENT: [{"messages": _ASK["messages"][:1], "reference": {"answer": 1.5}}],
}
HOSTILE = (
    b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"\\ud800", b"\xff\xfe", b"\x00", b"\xef\xbb\xbf",
    b"[" * 2000, b'{"a":' * 500, b"null", b"true", b'""', b"{}", b"[]", b'"\\u0000"', b"\r", b"\n",
    b"\\", b'"messages"', b'"role":"tool"', b"\xed\xa0\x80", b"\xc0\xaf", b"1E400", b"-0", b"'",
)  # fmt: skip


class Seen(NamedTuple):
    """What a share of the lines came to."""

    lines: int
    raised: list[str]
    naive: int
    found: Counter[str]
    most_mb: int


def main() -> int:
    return frame.run(__doc__, _all, lines=1_000_000, seed=1, workers=2)


def _all(options: argparse.Namespace) -> dict[str, Any]:
    shares = frame.shared(partial(_share, options), options.workers)
    raised = [said for share in shares for said in share.raised]
    found = sum((share.found for share in shares), Counter[str]())
    naive = sum(share.naive for share in shares)
    most = max(share.most_mb for share in shares)
    return {
        "passed": not raised and most <= MOST_MB and naive > 0 and len(found) > 10,
        "trials": sum(share.lines for share in shares),
        "seed": options.seed,
        "exceptions": len(raised),
        "kinds of findings": len(found),
        "findings": sum(found.values()),
        "most memory of a process, MB": most,
        "lines on which json.loads and two subscripts raise, as they must": naive,
        "bad": raised[:5],
    }


def _share(options: argparse.Namespace, which: int, many: int) -> Seen:
    files = -(-options.lines // LINES_A_FILE)
    lines, naive, raised, found = 0, 0, list[str](), Counter[str]()
    for number in range(which, files, many):
        chance = random.Random(f"{options.seed} {number}")
        method = chance.choice(list(GOOD))
        rows = [_broken(method, chance) for _ in range(LINES_A_FILE)]
        lines += LINES_A_FILE
        naive += sum(map(_naively_raises, rows[:100]))
        try:
            target = chance.choice(("openai", "azure", "peft"))
            verdict = validate(io.BytesIO(b"\n".join(rows)), target=target, method=method)
            found += Counter(verdict.counts)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
            raised.append(
                f"seed {options.seed}, file {number}: {type(error).__name__}: {error}"[:300]
            )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Seen(lines, raised, naive, found, most)


def _broken(method: Method, chance: random.Random) -> bytes:
    row = json.dumps(chance.choice(GOOD[method]), ensure_ascii=chance.random() < 0.5).encode()
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        row = _mutated(row, chance)
    return row.replace(b"\n", b"") if chance.random() < 0.9 else row


def _mutated(row: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(row) + 1)
    end = min(len(row), start + chance.choice((0, 1, 1, 2, 5, 20, 200)))
    kind = chance.randrange(6)
    if kind == 0:
        return row[:start] + bytes([chance.randrange(256)]) + row[start + 1 :]
    if kind == 1:
        return row[:start] + row[end:]
    if kind == 2:
        return row[:end] + row[start:end] + row[end:]
    if kind == 3:
        return row[:start]
    inserted = chance.choice(HOSTILE)
    return row[:start] + inserted + row[end if kind == 4 else start :]


def _naively_raises(row: bytes) -> bool:
    try:
        json.loads(row)["messages"][0]["content"]
    except Exception:  # noqa: BLE001 - this is the control
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
