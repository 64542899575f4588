"""The demo's tickets: the same for a seed, even over labels, held out by phrase."""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain

import pytest

from orchestrator.datasets.tickets import (
    BODIES,
    INSTRUCTION,
    LABELS,
    VALIDATION_CONCERNS,
    Row,
    Tickets,
    tickets,
)

SEEDS = (0, 1, 2, 3, 11)
PHRASES = {name: tuple(chain(*concerns)) for name, concerns in BODIES.items()}


@pytest.fixture(params=SEEDS)
def data(request: pytest.FixtureRequest) -> Tickets:
    return tickets(request.param)


def text(row: Row) -> str:
    return row["messages"][1]["content"]


def label(row: Row) -> str:
    return row["messages"][2]["content"]


def phrases_in(row: Row) -> set[str]:
    """The body phrases that stand in a row, whatever fills their slots."""
    found = set()
    for phrase in PHRASES[label(row)]:
        parts = [re.escape(part) for part in re.split(r"\{\w+\}", phrase)]
        if re.search(r"\w+".join(parts), text(row), re.IGNORECASE):
            found.add(phrase)
    return found


def test_the_sizes_are_those_asked_for(data: Tickets) -> None:
    assert [len(split) for split in data] == [240, 40, 120]
    assert [len(split) for split in tickets(0, 7, 5, 3)] == [7, 5, 3]
    assert tickets(0, 0, 0, 0) == Tickets([], [], [])


def test_a_seed_always_gives_the_same_rows_and_another_seed_others() -> None:
    assert tickets(5) == tickets(5)
    assert tickets(5) != tickets(6)


def test_labels_are_even_in_every_split(data: Tickets) -> None:
    for split in data:
        counts = Counter(label(row) for row in split)
        assert set(counts) == set(LABELS)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_row_is_a_chat_of_three_turns(data: Tickets) -> None:
    for row in chain(*data):
        assert set(row) == {"messages"}
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert row["messages"][0]["content"] == INSTRUCTION
        assert text(row) == text(row).strip() != ""
        assert not set("{}") & set(text(row))


def test_the_instruction_names_every_label() -> None:
    assert all(name in INSTRUCTION for name in LABELS)
    assert len(LABELS) == 6


def test_all_rows_are_distinct_within_and_across_splits(data: Tickets) -> None:
    texts = [text(row).casefold() for row in chain(*data)]
    assert len(set(texts)) == len(texts)


def test_every_row_holds_one_phrase_of_its_label(data: Tickets) -> None:
    assert all(phrases_in(row) for row in chain(*data))


def test_no_test_or_validation_phrase_stands_in_another_split(data: Tickets) -> None:
    train, validation, test = ({p for row in s for p in phrases_in(row)} for s in data)
    assert not test & train
    assert not test & validation
    assert not validation & train
    assert len(test) == sum(len(concerns) for concerns in BODIES.values())
    assert len(validation) == VALIDATION_CONCERNS * len(LABELS)


def test_no_test_phrase_stands_in_a_training_row_of_another_label(data: Tickets) -> None:
    seen = "\n".join(text(row) for row in (*data.train, *data.validation)).casefold()
    bare = {p.casefold() for row in data.test for p in phrases_in(row) if "{" not in p}
    assert not [phrase for phrase in bare if phrase in seen]


def test_every_label_has_enough_phrases_and_no_phrase_serves_twice() -> None:
    every = [phrase.casefold() for phrases in PHRASES.values() for phrase in phrases]
    assert len(set(every)) == len(every)
    assert not [(a, b) for a in every for b in every if a != b and a in b]
    assert all(len(ways) == 5 for concerns in BODIES.values() for ways in concerns)
    assert all(len(concerns) == 7 for concerns in BODIES.values())


def test_training_knows_every_concern_in_other_words(data: Tickets) -> None:
    known = {phrase for row in data.train for phrase in phrases_in(row)}
    for row in data.test:
        (phrase,) = phrases_in(row)
        (ways,) = (ways for ways in BODIES[label(row)] if phrase in ways)
        assert len(known & set(ways)) >= 3


def test_the_dressing_does_not_tell_the_label() -> None:
    """Words outside the phrases are as frequent under one label as under another."""
    rows = tickets(0, 1800, 0, 0).train
    remarks = ("reference", "second time", "picked up", "kind regards", "good morning")
    for words in remarks:
        counts = Counter(label(row) for row in rows if words in text(row).casefold())
        assert set(counts) == set(LABELS)
        assert max(counts.values()) < 3 * min(counts.values())
