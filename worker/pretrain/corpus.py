"""The pretraining corpus: seeded chat documents of some thirty families, under a curriculum.

    python corpus.py --documents 20 --progress 0.8      prints some of them

Document `index` of a seed is always the same, so that a run can stop and go on anywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import dictionary
import intents
import labels
import lookups
import talk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Messages = list[dict[str, str]]


class Family(NamedTuple):
    """A kind of document, and how often it comes at the start and at the end of the run."""

    make: Callable[[Random, float], Messages]
    first: float
    last: float


FAMILIES = (
    Family(lookups.copy, 10, 2),
    Family(lookups.repeat, 3, 0.5),
    Family(lookups.field_lookup, 5, 4),
    Family(lookups.key_value, 5, 4),
    Family(lookups.json_from_text, 3, 5),
    Family(lookups.few_shot_json, 1, 3),
    Family(lookups.ask_line, 3, 4),
    Family(lookups.extract, 3, 3),
    Family(lookups.list_items, 3, 3),
    Family(lookups.memory, 2, 2),
    Family(labels.zero_shot, 14, 24),
    Family(labels.described, 2, 8),
    Family(labels.few_shot, 4, 12),
    Family(labels.novel_few_shot, 4, 14),
    Family(labels.same_kind, 4, 5),
    Family(talk.chat, 5, 2),
    Family(talk.synonym, 3, 4),
    Family(talk.antonym, 2, 2),
    Family(talk.kin_word, 6, 5),
    Family(talk.yes_no, 4, 4),
    Family(talk.rule, 3, 3),
    Family(talk.sums, 1, 1),
    Family(talk.prose, 14, 5),
    Family(talk.situation, 4, 3),
    Family(talk.cloze, 4, 4),
    Family(talk.change, 2, 1),
)
LATER = (
    Family(dictionary.define, 3, 3),
    Family(dictionary.pick, 3, 3),
    Family(dictionary.together, 2, 2),
    Family(dictionary.sort_fields, 5, 6),
)
LAST = (
    Family(intents.intent_labels, 30, 30),
    Family(intents.intent_shots, 14, 14),
    Family(intents.intent_reworded, 14, 14),
)
LATER_FROM = 0.24
LAST_FROM = 0.66


def document(seed: int, index: int, progress: float) -> Messages:
    """The chat document of a seed and an index, as hard and long as the progress (0 to 1) asks."""
    rng = Random(f"{seed}/{index}")
    families = FAMILIES
    if progress >= LATER_FROM:
        families += LATER
    if progress >= LAST_FROM:
        families += LAST
    return compose(rng, families, progress)


def first_document(seed: int, index: int, progress: float) -> Messages:
    """The like of `document` from the first families only, which the tokenizer is trained on."""
    return compose(Random(f"{seed}/{index}"), FAMILIES, progress)


def compose(rng: Random, families: Sequence[Family], progress: float) -> Messages:
    """A document of one family, or now and then of several in one chat."""
    weights = [f.first + (f.last - f.first) * min(1.0, 1.5 * progress) for f in families]
    level = min(1.0, 0.1 + 1.2 * progress)
    messages = rng.choices(families, weights)[0].make(rng, level)
    if level > 0.5 and rng.random() < 0.03:
        for _ in range(rng.randint(2, 6)):
            messages += without_system(rng.choices(families, weights)[0].make(rng, level))
    return messages


def without_system(messages: Messages) -> Messages:
    """The messages with a leading system message moved into the first user turn."""
    if messages[0]["role"] != "system":
        return messages
    head, user, *rest = messages
    return [{"role": "user", "content": f"{head['content']}\n{user['content']}"}, *rest]


def main() -> None:
    """Print some documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--progress", type=float, default=0.8)
    args = parser.parse_args()
    for index in range(args.documents):
        line = json.dumps({"messages": document(args.seed, index, args.progress)})
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
