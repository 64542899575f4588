"""Lookup families: copy, repeat, find a field, make JSON of a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sentences import city, code, made_up, noun, person, statement, words

if TYPE_CHECKING:
    from random import Random

Messages = list[dict[str, str]]


def turn(question: str, answer: str, system: str | None = None) -> Messages:
    """One question and its answer, under a system message if there is one."""
    head = [{"role": "system", "content": system}] if system else []
    return [
        *head,
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def copy(rng: Random, level: float) -> Messages:
    """Say it again."""
    text = rng.choice(
        (
            statement(rng),
            " ".join(noun(rng) for _ in range(rng.randint(1, 3 + int(level * 6)))),
            " ".join(made_up(rng) for _ in range(rng.randint(1, 2 + int(level * 4)))),
            code(rng),
        )
    )
    ask = rng.choice(("Repeat: {}", "Say this again: {}", "Copy the text. {}", "Echo {}"))
    if rng.random() < 0.3:
        return turn(text, text, "Repeat what the user says.")
    return turn(ask.format(text), text)


def repeat(rng: Random, level: float) -> Messages:
    """Say a word several times."""
    word = rng.choice((noun(rng), made_up(rng), person(rng)))
    times = rng.randint(2, 3 + int(level * 3))
    return turn(f"Say {word} {times} times.", " ".join([word] * times))


def record(rng: Random, size: int) -> dict[str, str]:
    """A record of some fields."""
    fields = {
        "name": person(rng),
        "city": city(rng),
        "colour": rng.choice(words("colours")),
        "age": str(rng.randint(2, 99)),
        "item": noun(rng),
        "code": code(rng),
        "friend": person(rng),
        "day": rng.choice(words("times")),
        "count": str(rng.randint(1, 40)),
        "pet": made_up(rng),
    }
    keys = rng.sample(sorted(fields), size)
    return {key: fields[key] for key in keys}


def field_lookup(rng: Random, level: float) -> Messages:
    """Find a named field in a record."""
    fields = record(rng, rng.randint(2, 3 + int(level * 5)))
    key = rng.choice(sorted(fields))
    form = rng.choice(("{}: {}", "{} = {}", "{} is {}", "- {}: {}"))
    joiner = rng.choice(("\n", "\n", "; "))
    text = joiner.join(form.format(k, v) for k, v in fields.items())
    ask = rng.choice(("What is the {}?", "{}?", "Give me the {}.", "Find the {}.")).format(key)
    if rng.random() < 0.4:
        return turn(ask, fields[key], f"Use this record.\n{text}")
    return turn(f"{text}\n{ask}", fields[key])


def key_value(rng: Random, level: float) -> Messages:
    """Find the value of a key that means nothing, at times for several questions."""
    size = rng.randint(2, 3 + int(level * 9))
    pairs = {rng.choice((made_up, code))(rng): noun(rng) for _ in range(size)}
    text = rng.choice(("; ", "\n", ", ")).join(f"{k} = {v}" for k, v in pairs.items())
    messages: Messages = [{"role": "system", "content": f"Look up the value.\n{text}"}]
    for key in rng.sample(sorted(pairs), rng.randint(1, min(3, len(pairs)))):
        messages += turn(f"{key}?", pairs[key])
    return messages


def order_line(rng: Random) -> tuple[str, dict[str, str | int]]:
    """A sentence that tells of a person, a thing, a place, and the same as fields."""
    who, what, where = person(rng), noun(rng), city(rng)
    count, colour = rng.randint(1, 60), rng.choice(words("colours"))
    form = rng.choice(
        (
            "{who} takes {count} {colour} {what} to {where}.",
            "In {where}, {who} saw {count} times a {colour} {what}.",
            "{who} from {where} paints {count} of the {what} {colour}.",
            "{count} {what} for {who} in {where}, all {colour}.",
            "My friend {who} lives in {where} with {count} {what}, {colour} ones.",
        )
    )
    text = form.format(who=who, what=what, where=where, count=count, colour=colour)
    fields: dict[str, str | int] = {
        "name": who,
        "item": what,
        "city": where,
        "count": count,
        "colour": colour,
    }
    return text, fields


def json_of(fields: dict[str, str | int], keys: list[str]) -> str:
    """Some fields as JSON."""
    return json.dumps({key: fields[key] for key in keys})


def json_from_text(rng: Random, level: float) -> Messages:
    """Make JSON of a sentence; the system message names the keys."""
    text, fields = order_line(rng)
    keys = rng.sample(sorted(fields), rng.randint(1, 2 + int(level * 3)))
    system = rng.choice(("Answer as JSON with the keys {}.", "Give JSON: {}.", "JSON keys: {}"))
    return turn(text, json_of(fields, keys), system.format(", ".join(keys)))


def few_shot_json(rng: Random, level: float) -> Messages:
    """Make JSON of a sentence as the turns before did."""
    _, fields = order_line(rng)
    keys = rng.sample(sorted(fields), rng.randint(1, 2 + int(level * 3)))
    messages: Messages = [{"role": "system", "content": "Turn the text into JSON."}]
    for _ in range(rng.randint(2, 3 + int(level * 2))):
        text, fields = order_line(rng)
        messages += turn(text, json_of(fields, keys))
    return messages


def ask_line(rng: Random, level: float) -> Messages:
    """Answer who, what, where, how many about a sentence, or about the right one of several."""
    lines = [order_line(rng) for _ in range(rng.randint(1, 1 + int(level * 2)))]
    text, fields = rng.choice(lines)
    asks = {
        "name": "Who is it?",
        "item": "What thing is it?",
        "city": "Which city?",
        "count": "How many?",
        "colour": "Which colour?",
    }
    key = rng.choice(sorted(asks))
    if len(lines) > 1:
        key = rng.choice(("item", "city", "count", "colour"))
        text = " ".join(line for line, _ in lines)
        return turn(f"{text}\nAbout {fields['name']}: {asks[key]}", str(fields[key]))
    return turn(f"{text} {asks[key]}", str(fields[key]))


def extract(rng: Random, _level: float) -> Messages:
    """Find the one code, address or number in a text."""
    kind, value = rng.choice(
        (
            ("code", code(rng)),
            ("email", f"{made_up(rng)}@{made_up(rng)}.com"),
            ("year", str(rng.randint(1700, 2090))),
            ("strange word", made_up(rng)),
        )
    )
    before, after = statement(rng), statement(rng)
    middle = rng.choice(("It says {} here.", "Note {} please.", "Then came {}.", "Use {}."))
    text = f"{before} {middle.format(value)} {after}"
    return turn(text, value, f"Find the {kind} in the text.")


def list_items(rng: Random, level: float) -> Messages:
    """Pick the first, the last or the n-th, or write the list in another form."""
    items = [
        rng.choice((noun, made_up, person))(rng) for _ in range(rng.randint(2, 3 + int(level * 4)))
    ]
    text = ", ".join(items)
    asks = {
        "Which is the first?": items[0],
        "Which is the last?": items[-1],
        "Which is the second?": items[1],
        "Write it as a JSON list.": json.dumps(items),
        "One per line.": "\n".join(items),
        "Join them with dashes.": "-".join(items),
        "How many are there?": str(len(items)),
    }
    ask = rng.choice(sorted(asks))
    return turn(f"{text}\n{ask}", asks[ask]) if rng.random() < 0.5 else turn(text, asks[ask], ask)


def memory(rng: Random, level: float) -> Messages:
    """Remember over several turns what was said."""
    facts = [
        ("My name is {}.", "What is my name?", person(rng)),
        ("I live in {}.", "Where do I live?", city(rng)),
        ("My dog is called {}.", "What is my dog called?", made_up(rng).capitalize()),
        ("I like {}.", "Which colour do I like?", rng.choice(words("colours"))),
        ("I have a {}.", "What do I have?", noun(rng)),
        ("The code is {}.", "What was the code?", code(rng)),
    ]
    chosen = rng.sample(facts, rng.randint(1, 2 + int(level * 3)))
    messages: Messages = []
    for tell, _, value in chosen:
        messages += turn(tell.format(value), rng.choice(("I see.", "Noted.", "Good to know.")))
    _, ask, value = rng.choice(chosen)
    return messages + turn(ask, value)
