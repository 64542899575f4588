"""Label families: texts sorted into label sets of many kinds, with and without shots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentences import (
    Topic,
    city,
    code,
    dressed,
    fill,
    lexicon,
    made_up,
    noun,
    person,
    statement,
    topics,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

Messages = list[dict[str, str]]

TASKS = (
    "Classify the text. Labels: {labels}. Answer with the label only.",
    "Which label fits: {labels}? Reply with one of them.",
    "Choose one of: {labels}.",
    "You sort texts. Possible answers: {labels}.",
    "Read what the user writes and name its class. The classes are {labels}. Say only the class.",
    "Labels:\n{lines}\nGive the one label that fits.",
    "Answer with exactly one of these words: {labels}",
    "What is the text about? Options: {labels}",
    "Put each message into one box. The boxes are: {labels}. No other words.",
    "Your answer must be one of {labels}.",
    "Decide the category of the message. Categories:\n{lines}",
)
DESCRIBED = (
    "Classify the text.\n{lines}\nAnswer with the label only.",
    "Labels and what they mean:\n{lines}",
    "Use these labels. {inline} Reply with one label.",
)


@dataclass(frozen=True)
class Scheme:
    """A way to label: its labels, what each means, and a source of texts for a label."""

    labels: tuple[str, ...]
    meanings: tuple[str, ...]
    text: Callable[[Random, int], str]


def zero_shot(rng: Random, level: float) -> Messages:
    """The labels stand in the system message and say what they mean."""
    scheme = restyled(rng, any_scheme(rng, rng.randint(2, 3 + int(level * 5))))
    task = {"role": "system", "content": instruction(rng, scheme)}
    messages = [task]
    for _ in range(1 if rng.random() < 0.5 else rng.randint(2, 4)):
        messages += pair(rng, scheme, rng.randrange(len(scheme.labels)))
    return messages


def described(rng: Random, level: float) -> Messages:
    """The labels are codes; the system message says what each stands for."""
    scheme = any_scheme(rng, rng.randint(2, 3 + int(level * 3)))
    scheme = Scheme(novel_names(rng, len(scheme.labels)), scheme.meanings, scheme.text)
    rows = [f"{x}: {m}" for x, m in zip(scheme.labels, scheme.meanings, strict=True)]
    system = rng.choice(DESCRIBED).format(lines="\n".join(rows), inline="; ".join(rows) + ".")
    messages = [{"role": "system", "content": system}]
    for _ in range(rng.randint(1, 3)):
        messages += pair(rng, scheme, rng.randrange(len(scheme.labels)))
    return messages


def few_shot(rng: Random, level: float) -> Messages:
    """Shots before the question; the labels say what they mean."""
    scheme = any_scheme(rng, rng.randint(2, 3 + int(level * 4)))
    return with_shots(rng, restyled(rng, scheme), level)


def novel_few_shot(rng: Random, level: float) -> Messages:
    """Shots before the question; the labels are new words, so the shots alone tell."""
    scheme = any_scheme(rng, rng.randint(2, 2 + int(level * 3)))
    return with_shots(rng, Scheme(novel_names(rng, len(scheme.labels)), (), scheme.text), level)


def same_kind(rng: Random, _level: float) -> Messages:
    """Two texts: do they say the same kind of thing?"""
    scheme = any_scheme(rng, 2)
    first = rng.randrange(2)
    second = rng.randrange(2)
    one, two = scheme.text(rng, first), scheme.text(rng, second)
    yes, no = rng.choice((("yes", "no"), ("same", "different"), ("true", "false")))
    ask = f"Do both texts say the same kind of thing? Answer {yes} or {no}."
    body = f"A: {one}\nB: {two}"
    answer = yes if first == second else no
    if rng.random() < 0.5:
        return [
            {"role": "system", "content": ask},
            {"role": "user", "content": body},
            {"role": "assistant", "content": answer},
        ]
    return [
        {"role": "user", "content": f"{ask}\n{body}"},
        {"role": "assistant", "content": answer},
    ]


def any_scheme(rng: Random, size: int) -> Scheme:
    """A scheme of about `size` labels: topics, situations, acts, sentiment, or kinds of data."""
    roll = rng.random()
    if roll < 0.42:
        return topic_scheme(rng, size)
    if roll < 0.68:
        return situation_scheme(rng, size)
    if roll < 0.80:
        return act_scheme(rng, size)
    if roll < 0.92:
        return sentiment_scheme(rng)
    return kind_scheme(rng, size)


def topic_scheme(rng: Random, size: int) -> Scheme:
    """Which field of life a text is about."""
    chosen = rng.sample(topics(), size)
    labels = tuple(rng.choice(t.names) for t in chosen)
    meanings = tuple(", ".join(rng.sample((*t.names, *t.nouns[:8]), 3)) for t in chosen)
    return Scheme(labels, meanings, lambda r, i: topic_text(r, chosen[i]))


def topic_text(rng: Random, topic: Topic) -> str:
    """A text on a topic: a sentence or two, a phrase, or a bare word."""
    roll = rng.random()
    if roll < 0.12:
        return rng.choice(topic.nouns)
    if roll < 0.25:
        return dressed(rng, rng.choice(topic.verbs))
    if roll < 0.4:
        return dressed(rng, f"{statement(rng, topic)} {statement(rng, topic)}")
    return dressed(rng, statement(rng, topic))


def situation_scheme(rng: Random, size: int) -> Scheme:
    """What state of things a text tells of."""
    chosen = rng.sample(sorted(lexicon()["situations"]), size)

    def text(r: Random, i: int) -> str:
        line = fill(r, r.choice(words("situations", chosen[i])))
        if r.random() < 0.3:
            line = f"{line}, {r.choice(('and', 'so', 'because'))} {fill(r, 'we {v}')}"
        if r.random() < 0.2:
            line = f"{line} {r.choice(words('times'))}"
        return dressed(r, line)

    shots = tuple(fill(rng, rng.choice(words("situations", name))) for name in chosen)
    return Scheme(tuple(chosen), shots, text)


def act_scheme(rng: Random, size: int) -> Scheme:
    """What somebody does by saying it: ask, thank, warn ..."""
    chosen = rng.sample(sorted(lexicon()["acts"]), min(size, 8))

    def text(r: Random, i: int) -> str:
        return dressed(r, fill(r, r.choice(words("acts", chosen[i]))))

    return Scheme(tuple(chosen), tuple(f"a {name}" for name in chosen), text)


def sentiment_scheme(rng: Random) -> Scheme:
    """Whether somebody likes a thing."""
    names = ["positive", "negative", "neutral"][: 3 if rng.random() < 0.3 else 2]

    def text(r: Random, i: int) -> str:
        line = fill(r, r.choice(words("sentiment", f"{names[i]}_lines")))
        if names[i] != "neutral" and r.random() < 0.7:
            word = r.choice(words("sentiment", names[i]))
            extra = r.choice(("It is {w}.", "How {w}!", "So {w}.", "Truly {w}.", "A {w} {n}."))
            line = r.choice((f"{line}. {fill(r, extra.replace('{w}', word))}", f"{word}: {line}"))
        return dressed(r, line)

    meanings = {"positive": "likes it", "negative": "does not like it", "neutral": "says neither"}
    order = rng.sample(range(len(names)), len(names))
    return Scheme(
        tuple(names[i] for i in order),
        tuple(meanings[names[i]] for i in order),
        lambda r, i: text(r, order[i]),
    )


def kind_scheme(rng: Random, size: int) -> Scheme:
    """What kind of data a text is: a number, a date, a code, a name ..."""
    makers: dict[str, Callable[[Random], str]] = {
        "number": lambda r: str(r.randint(1, 99999)),
        "code": code,
        "person": person,
        "city": city,
        "colour": lambda r: r.choice(words("colours")),
        "date": lambda r: f"{r.randint(1, 28)}.{r.randint(1, 12)}.{r.randint(1980, 2030)}",
        "email": lambda r: f"{made_up(r)}@{made_up(r)}.com",
        "time": lambda r: f"{r.randint(0, 23)}:{r.randint(10, 59)}",
        "thing": noun,
        "price": lambda r: f"{r.randint(1, 90)}.{r.randint(10, 99)} euros",
    }
    chosen = rng.sample(sorted(makers), min(size, len(makers)))
    return Scheme(
        tuple(chosen), tuple(f"a {name}" for name in chosen), lambda r, i: makers[chosen[i]](r)
    )


def restyled(rng: Random, scheme: Scheme) -> Scheme:
    """The scheme with its labels written in another style, at times."""
    style = rng.choice(
        (str, str, str, str, str, str, str.upper, str.title, "<{}>".format, "is_{}".format)
    )
    labels = tuple(style(label) for label in scheme.labels)
    return Scheme(labels, scheme.meanings, scheme.text)


def novel_names(rng: Random, size: int) -> tuple[str, ...]:
    """Labels that say nothing: letters, numbers, colours, things, made-up words, joined words."""
    roll = rng.randrange(6)
    if roll == 0:
        return tuple(rng.sample(words("codes"), size))
    if roll == 1:
        return tuple(str(n) for n in rng.sample(range(1, 10), size))
    if roll == 2:
        return tuple(rng.sample(words("colours"), size))
    makers: dict[int, Callable[[], str]] = {
        3: lambda: noun(rng),
        4: lambda: made_up(rng),
        5: lambda: f"{noun(rng)}_{rng.choice(words('colours'))}",
    }
    names: dict[str, None] = {}
    while len(names) < size:
        names[makers[roll]()] = None
    return tuple(names)


def instruction(rng: Random, scheme: Scheme) -> str:
    """A system message that lists the labels."""
    joiner = rng.choice((", ", ", ", ", ", " | ", " / ", "; "))
    return rng.choice(TASKS).format(
        labels=joiner.join(scheme.labels), lines="\n".join(f"- {x}" for x in scheme.labels)
    )


def pair(rng: Random, scheme: Scheme, index: int) -> Messages:
    """A text and its label as a user and an assistant turn."""
    return [
        {"role": "user", "content": scheme.text(rng, index)},
        {"role": "assistant", "content": scheme.labels[index]},
    ]


def with_shots(rng: Random, scheme: Scheme, level: float) -> Messages:
    """Shots for every label, then a question: as turns, or as a block in one message."""
    size = len(scheme.labels)
    order = [
        i for _ in range(rng.randint(1, max(1, int(8 + level * 16) // size))) for i in range(size)
    ]
    rng.shuffle(order)
    task = instruction(rng, scheme) if rng.random() < 0.7 else "Go on like the examples."
    asked = rng.randrange(size)
    if rng.random() < 0.65:
        turns = [m for i in order for m in pair(rng, scheme, i)]
        return [{"role": "system", "content": task}, *turns, *pair(rng, scheme, asked)]
    block = shot_block(rng, [(scheme.text(rng, i), scheme.labels[i]) for i in order])
    question, answer = pair(rng, scheme, asked)
    if rng.random() < 0.5:
        return [{"role": "system", "content": f"{task}\n{block}"}, question, answer]
    return [{"role": "user", "content": f"{task}\n{block}\n{question['content']}"}, answer]


def shot_block(rng: Random, shots: Sequence[tuple[str, str]]) -> str:
    """Shots written out as lines."""
    form = rng.choice(("{} -> {}", "Text: {}\nLabel: {}", "Q: {}\nA: {}", "{} = {}"))
    return "\n".join(form.format(text, label) for text, label in shots)
