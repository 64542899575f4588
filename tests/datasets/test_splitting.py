"""Cuts are the same for the same seed, keep questions together and share out labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets.splitting import cut, read_rows, write_splits
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.dataset import Split

SHARES = {Split.TRAIN: 0.8, Split.VALIDATION: 0.1, Split.TEST: 0.1}


def row(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


ROWS = [row(f"Question {number}?", "yes" if number % 4 else "no") for number in range(200)]


def test_the_same_seed_makes_the_same_cut() -> None:
    assert cut(ROWS, SHARES, seed=3) == cut(ROWS, SHARES, seed=3)
    assert cut(ROWS, SHARES, seed=3) != cut(ROWS, SHARES, seed=4)


def test_shares_are_met_exactly_and_labels_shared_out() -> None:
    made = cut(ROWS, SHARES)
    assert made.counts == {Split.TRAIN: 160, Split.VALIDATION: 20, Split.TEST: 20}
    assert made.labels == 2
    answers = Counter(
        (split, each["messages"][1]["content"])
        for split, each in zip(made.splits, ROWS, strict=True)
    )
    assert answers[Split.TEST, "no"] == answers[Split.VALIDATION, "no"] == 5
    assert answers[Split.TRAIN, "no"] == 40


def test_numbers_of_rows_leave_the_rest_out() -> None:
    made = cut(ROWS, {Split.TRAIN: 100, Split.VALIDATION: 30, Split.TEST: 20})
    assert made.counts == {Split.TRAIN: 100, Split.VALIDATION: 30, Split.TEST: 20}
    assert list(made.splits).count(None) == 50


def test_the_same_question_stays_together() -> None:
    rows = [
        row(f"  QUESTION {n % 50}?" if n % 2 else f"question {n % 50}?", "a" * 50)
        for n in range(100)
    ]
    made = cut(rows, SHARES)
    by_question: dict[int, set[Split | None]] = {}
    for number, split in enumerate(made.splits):
        by_question.setdefault(number % 50, set()).add(split)
    assert all(len(splits) == 1 for splits in by_question.values())
    assert made.groups == 50


def pair(question: str, answer: str) -> dict[str, Any]:
    *asked, better = row(question, answer)["messages"]
    worse = {"role": "assistant", "content": "?"}
    sides = {"preferred_output": [better], "non_preferred_output": [worse]}
    return {"input": {"messages": asked}, **sides}


@pytest.mark.parametrize(
    "made",
    [
        pair,
        lambda asked, answer: {"messages": row(asked, "")["messages"][:1], "answer": answer},
        lambda asked, answer: {"instruction": asked, "input": "", "output": answer},
        lambda asked, answer: {"prompt": asked, "chosen": answer, "rejected": "?"},
        lambda asked, answer: {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": asked}]},
                {"role": "assistant", "content": answer},
            ]
        },
    ],
)
def test_the_same_question_stays_together_in_every_dialect(made: Any) -> None:
    rows = [made(f"question {n % 50}?", f"{n}" * 30) for n in range(200)]
    splits = cut(rows, SHARES).splits
    assert all(len({splits[n + 50 * m] for m in range(4)}) == 1 for n in range(50))
    assert len(set(splits)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_are_alone_make_up_for_questions_that_stay_together(seed: int) -> None:
    rows = [row(f"question {max(n, 7)}?", f"{n}" * 30) for n in range(24)]
    made = cut(rows, {Split.TRAIN: 16.0, Split.TEST: 8.0}, seed=seed)
    assert made.counts == {Split.TRAIN: 16, Split.TEST: 8}
    assert len({made.splits[n] for n in range(8)}) == 1


@pytest.mark.parametrize(
    "sizes",
    [
        {Split.TRAIN: 0.0, Split.TEST: 0.0},
        {Split.TRAIN: 0.9, Split.TEST: 0.2},
        {Split.TRAIN: 500.0, Split.TEST: 0.0},
        {Split.TRAIN: 10.0, Split.TEST: 0.5},
        {Split.TRAIN: -1.0, Split.TEST: 10.0},
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes: dict[Split, float]) -> None:
    with pytest.raises(UsageError):
        cut(ROWS, sizes)


def test_files_hold_every_row_once(tmp_path: Path) -> None:
    source = tmp_path / "data.jsonl"
    source.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    rows = read_rows(source)
    files = write_splits(rows, cut(rows, SHARES), tmp_path / "out")
    assert sorted(path.name for path in files.values()) == [
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]
    written = [line for path in files.values() for line in path.read_text().splitlines()]
    assert Counter(map(str, map(json.loads, written))) == Counter(map(str, ROWS))
    with pytest.raises(UsageError, match="there already"):
        write_splits(rows, cut(rows, SHARES), tmp_path / "out")
