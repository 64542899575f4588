"""Dictionary families: what a word means, which word fits, and which field it belongs to."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labels import Scheme, instruction, novel_names, pair, restyled, with_shots
from lookups import Messages, turn
from sentences import dressed

if TYPE_CHECKING:
    from random import Random


class Entry(NamedTuple):
    """A word of a field, its meaning, and a sentence with it."""

    field: str
    word: str
    meaning: str
    sentence: str


@functools.cache
def entries() -> dict[str, tuple[Entry, ...]]:
    """The entries of the dictionary by field."""
    found: dict[str, list[Entry]] = {}
    field = ""
    text = Path(__file__).with_name("dictionary.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("["):
            field = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            word, meaning, sentence = line.split(" = ")
            found.setdefault(field, []).append(Entry(field, word, meaning, sentence))
    return {name: tuple(group) for name, group in found.items()}


def any_entry(rng: Random) -> Entry:
    """One entry of any field, every word as likely as another."""
    return rng.choice([entry for group in entries().values() for entry in group])


def define(rng: Random, level: float) -> Messages:
    """Say what a word means, use it in a sentence, or name the word that is meant."""
    messages: Messages = []
    for _ in range(rng.randint(1, 1 + int(level * 3))):
        entry = any_entry(rng)
        question, answer = rng.choice(
            (
                (f"What does {entry.word} mean?", entry.meaning),
                (f"A sentence with {entry.word}, please.", entry.sentence),
                (f"Which word means {entry.meaning}?", entry.word),
                (f"{entry.meaning} - what is it called?", entry.word),
                (f"{entry.sentence} What is {entry.word} there?", entry.meaning),
            )
        )
        messages += turn(question, answer)
    return messages


def pick(rng: Random, level: float) -> Messages:
    """Pick the word that is meant, or that is left out, from a few."""
    entry = any_entry(rng)
    words = {entry.word: None}
    while len(words) < 2 + int(level * 3):
        words[any_entry(rng).word] = None
    choices = rng.sample(list(words), len(words))
    gap = entry.sentence.replace(entry.word, "___")
    text = gap if "___" in gap and rng.random() < 0.5 else entry.meaning
    return turn(text, entry.word, f"Which word fits? {', '.join(choices)}")


def together(rng: Random, _level: float) -> Messages:
    """Words of one field."""
    group = entries()[rng.choice(sorted(entries()))]
    chosen = [entry.word for entry in rng.sample(group, min(4, len(group)))]
    other = any_entry(rng)
    roll = rng.randrange(4)
    if roll == 0:
        return turn(f"Words like {chosen[0]} and {chosen[1]}?", ", ".join(chosen[2:]))
    if roll == 1:
        return turn(f"Which field is {chosen[0]} from?", group[0].field)
    if roll == 2:
        said = "yes" if other.field == group[0].field else "no"
        return turn(f"Do {chosen[0]} and {other.word} belong together?", said)
    return turn(f"Does {chosen[0]} belong to {group[0].field} or to {other.field}?", group[0].field)


def sort_fields(rng: Random, level: float) -> Messages:
    """Sort words, meanings and sentences into fields, by name, by shots, or both."""
    size = rng.randint(2, 3 + int(level * 4))
    fields = tuple(rng.sample(sorted(entries()), size))

    def text(r: Random, i: int) -> str:
        entry = r.choice(entries()[fields[i]])
        return dressed(r, r.choice((entry.sentence, entry.sentence, entry.meaning, entry.word)))

    scheme = Scheme(fields, fields, text)
    roll = rng.random()
    if roll < 0.2:
        return with_shots(rng, Scheme(novel_names(rng, size), (), text), level)
    if roll < 0.45:
        return with_shots(rng, restyled(rng, scheme), level)
    scheme = restyled(rng, scheme)
    messages = [{"role": "system", "content": instruction(rng, scheme)}]
    for _ in range(rng.randint(1, 4)):
        messages += pair(rng, scheme, rng.randrange(size))
    return messages
