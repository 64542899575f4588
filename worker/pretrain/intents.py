"""Intent families: what somebody wants, said in thousands of ways by a grammar of alternatives."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from labels import Scheme, instruction, novel_names, pair, restyled, with_shots
from lookups import Messages, turn
from sentences import dressed, fill, statement, words

if TYPE_CHECKING:
    from random import Random

CHOICE = re.compile(r"\(([^()]*)\)")


@functools.cache
def intents() -> dict[str, tuple[str, ...]]:
    """The frames of each intent."""
    found: dict[str, list[str]] = {}
    name = ""
    text = Path(__file__).with_name("intents.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            found.setdefault(name, []).append(line)
    return {key: tuple(frames) for key, frames in found.items()}


def saying(rng: Random, name: str) -> str:
    """One sentence of an intent."""
    frame = rng.choice(intents()[name])
    line = CHOICE.sub(lambda m: rng.choice(m.group(1).split("/")), frame)
    colours = rng.sample(words("colours"), 2)
    line = line.replace("{c}", colours[0]).replace("{c2}", colours[1])
    line = line.replace("{num2}", str(rng.randint(41, 90)))
    return " ".join(fill(rng, line).split())


def text_of(rng: Random, name: str) -> str:
    """A message with an intent: at times with something beside the point before or behind it."""
    line = saying(rng, name)
    roll = rng.random()
    if roll < 0.15:
        line = f"{line}. {statement(rng)}"
    elif roll < 0.3:
        line = f"{statement(rng)} {line[0].upper()}{line[1:]}"
    return dressed(rng, line)


def intent_scheme(rng: Random, size: int) -> Scheme:
    """Which of some intents a message has."""
    chosen = tuple(rng.sample(sorted(intents()), size))
    examples = tuple(saying(rng, name) for name in chosen)
    return Scheme(chosen, examples, lambda r, i: text_of(r, chosen[i]))


def intent_labels(rng: Random, level: float) -> Messages:
    """The intents stand in the system message by name."""
    size = rng.randint(2, 3 + int(level * 6))
    scheme = restyled(rng, intent_scheme(rng, size))
    messages = [{"role": "system", "content": instruction(rng, scheme)}]
    for _ in range(rng.randint(1, 5)):
        messages += pair(rng, scheme, rng.randrange(size))
    return messages


def intent_shots(rng: Random, level: float) -> Messages:
    """Shots of each intent, with its own name or a new one."""
    size = rng.randint(2, 3 + int(level * 3))
    scheme = intent_scheme(rng, size)
    if rng.random() < 0.5:
        scheme = Scheme(novel_names(rng, size), (), scheme.text)
    return with_shots(rng, scheme, level)


def intent_reworded(rng: Random, _level: float) -> Messages:
    """The same wish in other words; or whether two messages have the same wish."""
    one, two = rng.sample(sorted(intents()), 2)
    roll = rng.random()
    if roll < 0.4:
        return turn(text_of(rng, one), one, "Name in a word or two what the user wants.")
    other = rng.choice((one, two))
    said = "yes" if other == one else "no"
    body = f"1: {text_of(rng, one)}\n2: {text_of(rng, other)}"
    return turn(body, said, "Do both messages want the same? Answer yes or no.")
