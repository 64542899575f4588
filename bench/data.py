"""Validation against a bare parser, JSON Schema and its peers, on one generated file, in one run.

Prints ratios, since they hold on any machine: bytes per CPU second of each, over the same file.
orjson is the measure of a bare parser; without it msgspec stands in.

    python bench/data.py [MEGABYTES]
"""

from __future__ import annotations

import functools
import importlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.datasets.checking.explain import validator_of
from orchestrator.datasets.checking.parallel import parts_of, scan_part
from orchestrator.datasets.checking.scanning import Checks
from orchestrator.datasets.checking.validation import validate
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable

PROSE = (
    "the model learns what the rows say and nothing else so every row should say what is meant "
    "when a question has two answers the loss stays high and the money is spent for nothing"
)
CODE = 'def add(a, b):\n    """Add."""\n    return {"sum": a + b}\n\nprint(add(1, 2))\n'
OTHER = (
    "今天天气怎么样？",
    "كيف حالك اليوم؟",
    "Où est la bibliothèque ?",
    "नमस्ते दुनिया",
    "ça va 😀",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city, now or on a day.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ROWS_FOR_THE_SLOW = 1000


def row(number: int, chance: random.Random) -> dict[str, Any]:
    kind = chance.random()
    if kind < 0.1:
        return tool_row(number, chance)
    turns = 1 if kind < 0.65 else chance.randint(2, 6)
    messages = [{"role": "system", "content": "You are brief and right."}]
    for _ in range(turns):
        messages.append({"role": "user", "content": f"{text(chance, 30)} {number}?"})
        messages.append({"role": "assistant", "content": text(chance, 160 if kind > 0.92 else 60)})
    return {"messages": messages}


def tool_row(number: int, chance: random.Random) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": json.dumps({"city": f"City {index}"})},
        }
        for index in range(chance.randint(1, 3))
    ]
    replies = [
        {"role": "tool", "tool_call_id": call["id"], "content": text(chance, 20)} for call in calls
    ]
    return {
        "messages": [
            {"role": "user", "content": f"How is the weather? {number}"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            *replies,
            {"role": "assistant", "content": text(chance, 40)},
        ],
        "tools": [TOOL],
    }


def text(chance: random.Random, words: int) -> str:
    pieces = chance.choices(PROSE.split(), k=words)
    if chance.random() < 0.2:
        pieces.insert(words // 2, "\n\n" + CODE)
    if chance.random() < 0.05:
        pieces.append(chance.choice(OTHER))
    return " ".join(pieces) + "."


def write(path: Path, size: int) -> None:
    chance = random.Random(1)
    written = number = 0
    with path.open("w", encoding="utf-8") as stream:
        while written < size:
            line = json.dumps(row(number, chance), ensure_ascii=chance.random() < 0.3) + "\n"
            written += len(line.encode())
            number += 1
            stream.write(line)


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of the best of several runs."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def parser() -> tuple[str, Callable[[bytes], Any]]:
    try:
        return "orjson.loads", importlib.import_module("orjson").loads
    except ImportError:
        return "msgspec, untyped", msgspec.json.Decoder().decode


def cookbook(path: Path, count: Callable[[str], int]) -> tuple[int, int]:
    """The checks that OpenAI's cookbook describes, and its token counts, as its reader would write
    them: all rows in memory, every message looked at, every assistant text counted twice.
    """
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    errors = tokens = 0
    for row in rows:
        messages = row.get("messages")
        if not isinstance(row, dict) or not messages:
            errors += 1
            continue
        for message in messages:
            errors += "role" not in message or "content" not in message
            errors += any(key not in COOKBOOK_KEYS for key in message)
            errors += message.get("role") not in COOKBOOK_ROLES
            errors += not isinstance(message.get("content"), str)
        errors += not any(message.get("role") == "assistant" for message in messages)
    for row in rows:
        for message in row["messages"]:
            tokens += 3 + sum(count(text) for text in message.values() if isinstance(text, str))
        tokens += 3
    for row in rows:
        for message in row["messages"]:
            if message["role"] == "assistant" and isinstance(message["content"], str):
                count(message["content"])
    return errors, tokens


def tokenizer() -> tuple[Callable[[str], int], str]:
    """tiktoken, as the cookbook has it, with the vocabulary that splintr carries; else splintr."""
    splintr = importlib.import_module("splintr").Tokenizer.from_pretrained("o200k_base")
    try:
        tiktoken = importlib.import_module("tiktoken")
    except ImportError:
        return lambda text: len(splintr.encode_ordinary(text)), "splintr: tiktoken is not installed"
    ranks = {splintr.decode_token_bytes(rank): rank for rank in range(199_998)}
    made = tiktoken.Encoding(
        "o200k", pat_str=O200K_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    return lambda text: len(made.encode_ordinary(text)), "tiktoken"


# How o200k_base cuts text before it looks for tokens, as OpenAI publishes it.
_MARKS = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_PATTERN = (
    rf"{_MARKS}{_UPPER}*{_LOWER}+{_ENDINGS}|{_MARKS}{_UPPER}+{_LOWER}*{_ENDINGS}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


COOKBOOK_KEYS = {"role", "content", "name", "function_call", "weight"}
COOKBOOK_ROLES = {"system", "user", "assistant", "function"}


def main() -> None:
    size = int(sys.argv[1] if len(sys.argv) > 1 else 50) * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.jsonl"
        write(path, size)
        Bench(path).run()


class Bench:
    """One file, every measure, one table."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size
        self.lines = path.read_bytes().splitlines(keepends=True)
        self.few = path.parent / "few.jsonl"
        self.few.write_bytes(b"".join(self.lines[:ROWS_FOR_THE_SLOW]))
        self.name, self.loads = parser()

    def run(self) -> None:
        print(f"{len(self.lines)} rows, {self.size / 1e6:.0f} MB, bytes per CPU second")
        bare, form = self.against_parser()
        slow = self.few.stat().st_size / seconds(self.schema, 1)
        content = self.speed(functools.partial(validate, self.path, count_tokens=False), 1)
        tokens = self.speed(functools.partial(validate, self.path), 1)
        for what, speed in (
            (self.name, bare),
            ("jsonschema over it", slow),
            ("validate, form", form),
            ("validate, form and content", content),
            ("validate, all of it with tokens", tokens),
        ):
            print(f"  {what:36}{speed / 1e6:8.1f} MB/s {speed / bare:6.2f} of the parser")
        print()
        told("validate one process / parser", form / bare, 0.55)
        told("validate two processes / parser", self.two_processes() / bare, 1.0)
        told("validate / jsonschema", form / slow, 60)
        self.against_cookbook()
        self.against_together(form)
        told("peak memory over the start, MB (a limit)", self.memory(), 60, least=False)
        told("1,000 rows, whole command, seconds (a limit)", self.cold(), 0.5, least=False)

    def speed(self, work: Callable[[], object], times: int = 3) -> float:
        return self.size / seconds(work, times)

    def against_parser(self) -> tuple[float, float]:
        """Both in turn, several times: the machine may be busy with other work."""
        form = functools.partial(validate, self.path, count_tokens=False, content=False)
        pairs = [(self.speed(self.parse, 1), self.speed(form, 1)) for _ in range(4)]
        return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)

    def parse(self) -> None:
        with self.path.open("rb") as stream:
            for line in stream:
                self.loads(line)

    def schema(self) -> None:
        slow = validator_of(Method.SUPERVISED)
        for line in self.lines[:ROWS_FOR_THE_SLOW]:
            slow.is_valid(self.loads(line))

    def two_processes(self) -> float:
        """The size of the file over the CPU seconds of the slower of two processes."""
        checks = Checks(count_tokens=False, content=False)
        parts = parts_of(self.path, 2)
        slower = max(
            seconds(functools.partial(scan_part, self.path, part, checks)) for part in parts
        )
        return self.size / slower

    def against_cookbook(self) -> None:
        count, by = tokenizer()
        plain = self.path.parent / "plain.jsonl"
        rows = [line for line in self.lines if b'"tools"' not in line][: 4 * ROWS_FOR_THE_SLOW]
        plain.write_bytes(b"".join(rows))
        print(f"  the cookbook's tokens are counted with {by}")
        ours = peer = float("inf")
        for _ in range(4):  # In turn: the machine may be busy with other work.
            peer = min(peer, seconds(lambda: cookbook(plain, count), 1))
            ours = min(ours, seconds(lambda: validate(plain, content=False), 1))
        told("validate + tokens / cookbook + tokens", peer / ours, 5 if by == "tiktoken" else None)

    def against_together(self, form: float) -> None:
        try:
            check_file = importlib.import_module("together.utils.files").check_file
        except ImportError:
            print("  together's check_file: skipped, the package together is not installed")
            return
        told(
            "validate / together",
            form * seconds(lambda: check_file(self.path), 1) / self.size,
            None,
        )

    def memory(self) -> float:
        """Megabytes above a process that has read one row, without tokens; 16 bytes a row off."""
        grown = self.peak(self.path) - self.peak(self.few)
        return grown - 16 * len(self.lines) / 1e6

    def peak(self, path: Path) -> float:
        code = (
            "import resource, sys, pathlib; from orchestrator.datasets.checking.validation import validate;"
            "validate(pathlib.Path(sys.argv[1]), count_tokens=False);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        made = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        return int(made.stdout) / 1000

    def cold(self) -> float:
        command = [sys.executable, "-m", "orchestrator", "validate", str(self.few)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def told(what: str, reached: float, bar: float | None, *, least: bool = True) -> None:
    """One bar: what was reached, what is asked for, and whether it is kept."""
    if bar is None:
        print(f"  {what:46}{reached:8.2f}")
        return
    kept = reached >= bar if least else reached <= bar
    print(f"  {what:46}{reached:8.2f}   asked {bar:g}   {'kept' if kept else 'NOT KEPT'}")


if __name__ == "__main__":
    main()
