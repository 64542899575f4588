"""Validation against a bare parser and a plain JSON Schema check, on one generated file, in one run.

Prints ratios, since they hold on any machine: bytes per CPU second of each, over the same file.
orjson is the measure of a bare parser; without it msgspec stands in.

    python bench/data.py [MEGABYTES]
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.datasets.explain import validator_of
from orchestrator.datasets.validation import validate
from orchestrator.domain.job import Method

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


def main() -> None:
    size = int(sys.argv[1] if len(sys.argv) > 1 else 50) * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.jsonl"
        write(path, size)
        measure(path)


def measure(path: Path) -> None:
    size, (name, loads) = path.stat().st_size, parser()
    lines = path.read_bytes().splitlines(keepends=True)
    few = lines[:ROWS_FOR_THE_SLOW]
    slow = validator_of(Method.SUPERVISED)

    def parse() -> None:
        with path.open("rb") as stream:
            for line in stream:
                loads(line)

    bare = size / seconds(parse)
    schema = sum(map(len, few)) / seconds(lambda: [slow.is_valid(loads(line)) for line in few], 1)
    print(f"{len(lines)} rows, {size / 1e6:.0f} MB")
    print(f"{'':32}{'MB/CPU s':>10}{'rows/s':>10}{'/ parser':>10}{'/ schema':>10}")

    def show(what: str, speed: float) -> None:
        rows = speed * len(lines) / size
        print(
            f"{what:32}{speed / 1e6:>10.1f}{rows:>10.0f}{speed / bare:>10.2f}{speed / schema:>10.1f}"
        )

    show(name, bare)
    show("jsonschema over it", schema)
    show("form", size / seconds(lambda: validate(path, count_tokens=False, content=False)))
    show("form and content", size / seconds(lambda: validate(path, count_tokens=False), 1))
    show("form, content and tokens", size / seconds(lambda: validate(path), 1))


if __name__ == "__main__":
    main()
