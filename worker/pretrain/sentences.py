"""Words and sentences: the lexicon of the corpus and the small grammar that speaks it."""

from __future__ import annotations

import functools
import string
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

STATEMENTS = (
    "I want to {v} {t}.",
    "We had to {v} with {who}.",
    "The {a} {n} is next to the {n2}.",
    "My {kin} likes to {v}.",
    "Can you {v} {t}?",
    "Please {v} before you go.",
    "{who} has a {a} {n}.",
    "We talked about the {n} and the {n2}.",
    "There is no {n} left.",
    "{who} and {who2} {v} {t}.",
    "Where is the {n} that I saw {t}?",
    "I bought a new {n} in {city}.",
    "This {n} is too {a} for me.",
    "How do I {v} without a {n}?",
    "It takes an hour to {v}.",
    "My {kin} gave me a {n} and a {n2}.",
    "The {n} was {a}, so we had to {v}.",
    "Nobody wanted to {v} {t}.",
    "First I {v}, then I look for the {n}.",
    "Do not {v} when the {n} is {a}!",
    "{who} forgot the {n} in {city}.",
    "Is the {n} {a} or not?",
    "I need {num} of these for the {n}.",
    "They {v} and {v2}.",
    "What a {a} {n}!",
    "Our {n} is {num} years old.",
    "I am going to {v} in {city}.",
    "Since {who} came we {v} every week.",
    "If you see the {n}, tell my {kin}.",
    "Without the {n2} the {n} is of no use.",
)
SYLLABLES = [
    "ba",
    "be",
    "bi",
    "bo",
    "bu",
    "da",
    "de",
    "di",
    "do",
    "du",
    "fa",
    "fe",
    "fi",
    "ga",
    "go",
    "gu",
    "ka",
    "ke",
    "ki",
    "ko",
    "ku",
    "la",
    "le",
    "li",
    "lo",
    "lu",
    "ma",
    "me",
    "mi",
    "mo",
    "mu",
    "na",
    "ne",
    "ni",
    "no",
    "nu",
    "pa",
    "pe",
    "pi",
    "po",
    "ra",
    "re",
    "ri",
    "ro",
    "ru",
    "sa",
    "se",
    "si",
    "so",
    "su",
    "ta",
    "te",
    "ti",
    "to",
    "tu",
    "va",
    "ve",
    "vi",
    "vo",
    "wa",
    "wi",
    "za",
    "ze",
    "zo",
    "an",
    "en",
    "in",
    "on",
    "ar",
    "er",
    "or",
    "al",
    "el",
    "ol",
    "as",
    "es",
    "is",
]


@dataclass(frozen=True)
class Topic:
    """A field of life: its names, and the words people use in it."""

    names: tuple[str, ...]
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]


@functools.cache
def lexicon() -> dict[str, Any]:
    """The parsed word file."""
    return tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text(encoding="utf-8"))


@functools.cache
def words(*path: str) -> tuple[str, ...]:
    """A list of the lexicon, by its path: split at bars where it has some, else at blanks."""
    value: Any = lexicon()
    for key in path:
        value = value[key]
    parts = value.split("|") if "|" in value else value.split()
    return tuple(part.strip() for part in parts)


@functools.cache
def topics() -> tuple[Topic, ...]:
    """All topics, in the order of the file."""
    fields = ("names", "nouns", "verbs", "adjectives")
    return tuple(Topic(*(words("topics", t, f) for f in fields)) for t in lexicon()["topics"])


def fill(rng: Random, template: str, topic: Topic | None = None) -> str:
    """Put words of a topic (any, if none is given) into the slots of a template."""
    topic = topic or rng.choice(topics())
    noun, noun2 = rng.sample(topic.nouns, 2)
    verb, verb2 = rng.sample(topic.verbs, 2)
    return template.format(
        n=noun,
        n2=noun2,
        v=verb,
        v2=verb2,
        a=rng.choice(topic.adjectives),
        t=rng.choice(words("times")),
        who=rng.choice(words("people")),
        who2=rng.choice(words("people")),
        kin=rng.choice(words("kin")),
        city=rng.choice(words("cities")),
        num=rng.randint(2, 40),
    )


def statement(rng: Random, topic: Topic | None = None) -> str:
    """One sentence about a topic."""
    return fill(rng, rng.choice(STATEMENTS), topic)


def sentence_case(line: str) -> str:
    """The line with a capital in front and a full stop behind it, where it has none."""
    end = "" if line[-1] in ".?!" else "."
    return line[0].upper() + line[1:] + end


def dressed(rng: Random, line: str) -> str:
    """The line as people send it: at times with an opening, a closing, a time, or in small letters."""
    line = reworded(rng, line) if rng.random() < 0.4 else line
    line = sentence_case(line) if rng.random() < 0.7 else line
    if rng.random() < 0.25:
        line = f"{rng.choice(words('openings'))} {line}"
    if rng.random() < 0.15:
        line = f"{line} {rng.choice(words('closings'))}"
    if rng.random() < 0.1:
        line = line.lower()
    return line


def reworded(rng: Random, line: str) -> str:
    """The line with some of its words swapped for others that mean about the same."""
    parts = line.split(" ")
    for i, part in enumerate(parts):
        others = synonyms().get(part)
        if others and rng.random() < 0.7:
            parts[i] = rng.choice(others)
    return " ".join(parts)


@functools.cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """For each word of the synonym groups the others of its group."""
    groups = [[w.replace("-", " ") for w in group.split()] for group in words("words", "synonyms")]
    return {w: tuple(x for x in group if x != w) for group in groups for w in group}


def made_up(rng: Random) -> str:
    """A word that does not exist."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))


def noun(rng: Random) -> str:
    """Any noun of any topic."""
    return rng.choice(rng.choice(topics()).nouns)


def code(rng: Random) -> str:
    """A short code such as `K7`, `QX-204` or `5518`."""
    letters = "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.randint(1, 2)))
    digits = "".join(rng.choice(string.digits) for _ in range(rng.randint(1, 4)))
    return rng.choice((f"{letters}{digits}", f"{letters}-{digits}", f"#{digits}", digits))


def person(rng: Random) -> str:
    """A first name: a real one, or one that nobody has yet."""
    return made_up(rng).capitalize() if rng.random() < 0.3 else rng.choice(words("people"))


def city(rng: Random) -> str:
    """A city: a real one, or one that is on no map."""
    return made_up(rng).capitalize() if rng.random() < 0.3 else rng.choice(words("cities"))
