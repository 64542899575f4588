"""Talk families: short chat, word knowledge, yes and no, rules, small sums, prose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookups import Messages, turn
from sentences import fill, lexicon, noun, statement, topics, words

if TYPE_CHECKING:
    from random import Random


def chat(rng: Random, _level: float) -> Messages:
    """A greeting, a thank-you, a plain question; one to three turns."""
    messages: Messages = []
    if rng.random() < 0.3:
        messages.append({"role": "system", "content": "You are a friendly assistant."})
    for pair in rng.sample(words("chat", "pairs"), rng.randint(1, 3)):
        question, answer = pair.split(" = ")
        messages += turn(question, answer)
    return messages


def synonym(rng: Random, _level: float) -> Messages:
    """Another word for a word, or whether two words mean the same."""
    groups = [[w.replace("-", " ") for w in g.split()] for g in words("words", "synonyms")]
    group = rng.choice(groups)
    one, two = rng.sample(group, 2)
    if rng.random() < 0.5:
        other = rng.choice(rng.choice(groups)) if rng.random() < 0.5 else two
        return turn(f"Do {one} and {other} mean the same?", "yes" if other in group else "no")
    return turn(rng.choice(("Another word for {}?", "What means the same as {}?")).format(one), two)


def antonym(rng: Random, _level: float) -> Messages:
    """The opposite, alone or in a run of turns."""
    messages: Messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": "Give the opposite of each word."})
        for pair in rng.sample(words("words", "antonyms"), rng.randint(2, 4)):
            one, two = rng.sample(pair.split(), 2)
            messages += turn(one, two)
        return messages
    one, two = rng.sample(rng.choice(words("words", "antonyms")).split(), 2)
    return turn(f"What is the opposite of {one}?", two)


def kin_word(rng: Random, _level: float) -> Messages:
    """Words that belong together: the field of a word, a word of a field, the odd one out."""
    here, there = rng.sample(topics(), 2)
    roll = rng.randrange(4)
    if roll == 0:
        return turn(f"{rng.choice(here.nouns)} belongs to", rng.choice(here.names[:1]))
    if roll == 1:
        return turn(
            f"Name three words about {rng.choice(here.names)}.",
            ", ".join(rng.sample(here.nouns, 3)),
        )
    if roll == 2:
        odd = rng.choice(there.nouns)
        line = [*rng.sample(here.nouns, 3), odd]
        rng.shuffle(line)
        return turn(f"Which one does not belong? {', '.join(line)}", odd)
    one, two = rng.choice(here.nouns), rng.choice(rng.choice((here, there)).nouns)
    return turn(f"Do {one} and {two} belong together?", "yes" if two in here.nouns else "no")


def yes_no(rng: Random, level: float) -> Messages:
    """Is the word in the list? Is the text about that?"""
    here, there = rng.sample(topics(), 2)
    if rng.random() < 0.4:
        items = [noun(rng) for _ in range(rng.randint(2, 4 + int(level * 6)))]
        asked = rng.choice(items) if rng.random() < 0.5 else noun(rng)
        answer = "yes" if asked in items else "no"
        return turn(f"Is {asked} in the list? {', '.join(items)}", answer)
    about = rng.choice((here, there))
    ask = f"Is the text about {rng.choice(about.names)}? Answer yes or no."
    return turn(statement(rng, here), "yes" if about is here else "no", ask)


def rule(rng: Random, _level: float) -> Messages:
    """Follow a simple rule of the system message."""
    one, two = noun(rng), noun(rng)
    here, there = rng.sample(topics(), 2)
    text = statement(rng, rng.choice((here, there)))
    key = rng.choice(here.nouns)
    hits = {
        "has a question mark": "?" in text,
        f"has the word {key}": key in text.replace(".", "").replace("?", "").split(),
        "has a number": any(c.isdigit() for c in text),
        "starts with I": text.startswith("I "),
        "starts with The": text.startswith("The "),
        "ends with an exclamation mark": text.endswith("!"),
    }
    condition = rng.choice(sorted(hits))
    system = f"If the text {condition}, say {one}. Else say {two}."
    return turn(text, one if hits[condition] else two, system)


def sums(rng: Random, level: float) -> Messages:
    """Small sums and comparisons."""
    top = 9 if level < 0.5 else 20
    a, b = rng.randint(0, top), rng.randint(0, top)
    asks = [
        (f"{a} + {b} =", str(a + b)),
        (f"What is {a} plus {b}?", str(a + b)),
        (f"{max(a, b)} - {min(a, b)} =", str(abs(a - b))),
        (f"Which is more, {a} or {b}?", str(max(a, b))),
        (f"What comes after {a}?", str(a + 1)),
    ]
    return turn(*rng.choice(asks))


def prose(rng: Random, level: float) -> Messages:
    """Some sentences on a topic: plain language to learn words from."""
    topic = rng.choice(topics())
    lines = " ".join(statement(rng, topic) for _ in range(rng.randint(2, 4 + int(level * 4))))
    return turn(f"Tell me about {rng.choice(topic.names)}.", lines)


def situation(rng: Random, _level: float) -> Messages:
    """What somebody might say: phrases of one situation together."""
    name = rng.choice(sorted(lexicon()["situations"]))
    lines = [fill(rng, x) for x in rng.sample(words("situations", name), 3)]
    roll = rng.randrange(3)
    if roll == 0:
        return turn(f"What does one say when it is about {name}?", lines[0])
    if roll == 1:
        return turn(f"{lines[0]} - say it in another way.", lines[1])
    return turn(f"{lines[0]}, {lines[1]}. Go on.", lines[2])


def cloze(rng: Random, level: float) -> Messages:
    """Fill the gap with the missing word; the choices are given."""
    here, there = rng.sample(topics(), 2)
    text = statement(rng, here)
    found = [n for n in here.nouns if f" {n} " in text]
    if not found:
        return prose(rng, level)
    choices = [found[0], rng.choice(there.nouns)]
    rng.shuffle(choices)
    gap = text.replace(f" {found[0]} ", " ___ ")
    return turn(f"{gap} ({choices[0]} or {choices[1]}?)", found[0])


def change(rng: Random, _level: float) -> Messages:
    """Change the shape of a word: capitals, plural, last letter."""
    word = noun(rng)
    asks = [
        (f"Write {word} in capitals.", word.upper()),
        (f"One {word}, two", f"{word}es" if word[-1] in "sxh" else f"{word}s"),
        (f"Write {word.upper()} in small letters.", word.lower()),
        (f"Put {word} in quotes.", f'"{word}"'),
        (f"Put {word} in brackets.", f"[{word}]"),
        (f"Say {word} and {word.upper()}.", f"{word} and {word.upper()}"),
    ]
    return turn(*rng.choice(asks))
