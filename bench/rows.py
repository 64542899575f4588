"""Generated rows of many shapes, made of texts that every Python carries.

Prose is what Python says of itself, code is its library: natural words in natural numbers, so that
no tokenizer can remember them all. The same seed makes the same file.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import json
import pathlib
import random
import tarfile
import typing
from pydoc_data.topics import topics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHER = (
    "今天天气怎么样？我们去公园散步，然后喝一杯茶。",
    "请把这篇文章翻译成中文，并且解释每一个难懂的词。",
    "這個問題的答案取決於你想要什麼樣的結果",
    "明日は何時に会議が始まりますか。資料を準備してください。",
    "모델은 데이터가 말하는 것만 배웁니다.",
    "كيف حالك اليوم؟ أريد أن أتعلم شيئا جديدا",
    "Où est la bibliothèque ? Là-bas, près de l’église.",
    "नमस्ते दुनिया, आज का मौसम कैसा है",
    "Где находится ближайшая станция метро?",
    "ça va 😀 très bien 👍🏽",
)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{what}, now or on a day.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    for name, what in (("get_weather", "The weather of a city"), ("get_events", "What a city does"))
]


@functools.cache
def prose() -> list[str]:
    """Words with the spaces of natural text between them."""
    return "\n".join(text for _, text in sorted(topics.items())).split()


@functools.cache
def code() -> list[str]:
    """Lines of programs."""
    modules = (argparse, ast, inspect, pathlib, random, tarfile, typing)
    return "\n".join(map(inspect.getsource, modules)).splitlines()


def words(chance: random.Random, many: int) -> str:
    """A passage of prose of about so many words, somewhere cut."""
    said = prose()
    start = chance.randrange(len(said) - many)
    return " ".join(said[start : start + many]) + "."


def program(chance: random.Random, lines: int) -> str:
    """A passage of code."""
    written = code()
    start = chance.randrange(len(written) - lines)
    return "\n".join(written[start : start + lines]).strip() or "pass"


def others(chance: random.Random, many: int) -> str:
    """Sentences in many scripts."""
    return " ".join(chance.choices(OTHER, k=many))


def chat(*turns: tuple[str, str], system: str = "You are brief and right.") -> dict[str, Any]:
    messages = [{"role": "system", "content": system}]
    for asked, answered in turns:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answered})
    return {"messages": messages}


def short(number: int, chance: random.Random) -> dict[str, Any]:
    return chat((f"{words(chance, 12)} {number}?", words(chance, 8)))


def talk(number: int, chance: random.Random) -> dict[str, Any]:
    turns = 1 if chance.random() < 0.6 else chance.randint(2, 6)
    said = [(f"{words(chance, 30)} {number}?", words(chance, 70)) for _ in range(turns)]
    return chat(*said)


def long(number: int, chance: random.Random) -> dict[str, Any]:
    """About 2,000 tokens."""
    return chat((f"{words(chance, 1000)} {number}?", words(chance, 250)))


def coding(number: int, chance: random.Random) -> dict[str, Any]:
    asked = f"{words(chance, 25)} {number}?\n\n```python\n{program(chance, 20)}\n```"
    return chat((asked, f"```python\n{program(chance, 40)}\n```"))


def scripts(number: int, chance: random.Random) -> dict[str, Any]:
    return chat((f"{others(chance, 3)} {number}?", others(chance, 6)), system=OTHER[1])


def tools(number: int, chance: random.Random) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {
                "name": chance.choice(("get_weather", "get_events")),
                "arguments": json.dumps({"city": f"City {index}", "day": words(chance, 1)}),
            },
        }
        for index in range(chance.randint(1, 3))
    ]
    replies = [
        {"role": "tool", "tool_call_id": call["id"], "content": words(chance, 20)} for call in calls
    ]
    return {
        "messages": [
            {"role": "user", "content": f"How is the weather? {number}"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            *replies,
            {"role": "assistant", "content": words(chance, 40)},
        ],
        "tools": TOOLS,
    }


def weighted(number: int, chance: random.Random) -> dict[str, Any]:
    """Talk of people with names, of which the last answer is learned."""
    row = talk(number, chance)
    for message in row["messages"]:
        if message["role"] == "user":
            message["name"] = f"user-{number % 9}"
        elif message["role"] == "assistant":
            message["weight"] = int(message is row["messages"][-1])
    return row


def mixed(number: int, chance: random.Random) -> dict[str, Any]:
    """What a file of many sources looks like."""
    kind = chance.random()
    for share, make in ((0.1, tools), (0.18, coding), (0.23, scripts), (0.5, short), (0.97, talk)):
        if kind < share:
            return make(number, chance)
    return long(number, chance)


def preference(number: int, chance: random.Random) -> dict[str, Any]:
    row = {
        "input": {"messages": [{"role": "user", "content": f"{words(chance, 30)} {number}?"}]},
        "preferred_output": [{"role": "assistant", "content": words(chance, 60)}],
        "non_preferred_output": [{"role": "assistant", "content": words(chance, 50)}],
    }
    if chance.random() < 0.3:
        system = {"role": "system", "content": "You are brief and right."}
        row["input"]["messages"].insert(0, system)  # type: ignore[call-overload]
    return row


def reinforcement(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "developer", "content": "Answer with the number alone."},
            {"role": "user", "content": f"{words(chance, 60)} {number}?"},
        ],
        "reference_answer": str(number),
        "difficulty": {"level": chance.randint(1, 5), "of": words(chance, 3)},
    }


SHAPES: dict[str, Callable[[int, random.Random], dict[str, Any]]] = {
    "mixed": mixed,
    "short": short,
    "talk": talk,
    "long": long,
    "code": coding,
    "scripts": scripts,
    "weighted": weighted,
    "tools": tools,
    "dpo": preference,
    "reinforcement": reinforcement,
}


def write(path: Path, size: int, shape: str = "mixed") -> None:
    """Write rows of a shape until the file has so many bytes."""
    chance, make = random.Random(1), SHAPES[shape]
    written = number = 0
    with path.open("w", encoding="utf-8") as stream:
        while written < size:
            line = json.dumps(make(number, chance), ensure_ascii=chance.random() < 0.3) + "\n"
            written += len(line.encode())
            number += 1
            stream.write(line)
