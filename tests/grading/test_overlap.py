"""Overlap: reference values by hand, and the libraries of the field where they are installed."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import MissingExtra
from orchestrator.grading.overlap import LONGEST, Chrf, Fuzzy, Rouge, common
from orchestrator.grading.registry import make_grader

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "was", "fat", "über", "größe", "東京"]


def slow_common(one: str, other: str) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        before = 0
        for place, b in enumerate(other, 1):
            before, row[place] = (
                row[place],
                before + 1 if a == b else max(row[place], row[place - 1]),
            )
    return row[-1]


@given(st.text(alphabet="abc", max_size=40), st.text(alphabet="abcd", max_size=40))
def test_the_longest_common_subsequence(one: str, other: str):
    assert common(one, other) == slow_common(one, other) == common(other, one)


@pytest.mark.parametrize(
    ("spec", "answer", "reference", "value"),
    [
        ("fuzzy", "this is a test", "this is a test!", 28 / 29),
        ("fuzzy", "", "", 1.0),
        ("fuzzy", "abc", "", 0.0),
        ("rouge-l", "police killed the gunman", "police kill the gunman", 0.75),
        ("rouge-l", "the gunman kill police", "police kill the gunman", 0.5),
        ("rouge-1", "the cat the cat", "the cat", 2 * 2 / 6),
        ("rouge-2", "the cat sat", "the cat ran", 0.5),
        ("rouge-2", "cat", "cat", 0.0),
        ("chrf", "same text", "same text", 1.0),
        ("chrf", "xyz", "abc", 0.0),
    ],
)
def test_values_by_hand(spec: str, answer: str, reference: str, value: float):
    assert make_grader(spec).grade(answer, reference).value == pytest.approx(value)


def test_what_is_too_long_is_no_zero():
    long = "x" * (LONGEST + 1)
    assert Fuzzy().grade(long, "x").value is None
    assert Chrf().grade(long, "x").value is None
    assert Rouge().grade("x " * (LONGEST + 1), "x").value is None


def texts() -> list[tuple[str, str]]:
    rng = random.Random(5)
    return [
        (" ".join(rng.choices(WORDS, k=rng.randint(1, 14))), " ".join(rng.choices(WORDS, k=9)))
        for _ in range(200)
    ]


def test_edit_similarity_is_that_of_rapidfuzz():
    fuzz = pytest.importorskip("rapidfuzz.fuzz")
    for one, other in texts():
        assert Fuzzy().grade(one, other).value == pytest.approx(fuzz.ratio(one, other) / 100)


def test_chrf_is_that_of_sacrebleu():
    metrics = pytest.importorskip("sacrebleu.metrics")
    scorer = metrics.CHRF()
    for one, other in texts():
        wanted = scorer.sentence_score(one, [other]).score / 100
        assert Chrf().grade(one, other).value == pytest.approx(wanted, abs=1e-9)


def test_bleu_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(MissingExtra) as caught:
        make_grader("bleu")
    assert caught.value.hint == "pip install 'ftctl[metrics]'"


def test_bleu_is_that_of_sacrebleu():
    pytest.importorskip("sacrebleu.metrics")
    grader = make_grader("bleu")
    same = "the cat sat on the mat"
    assert grader.grade(same, same).value == pytest.approx(1.0)
    assert grader.grade("a dog", same).value == pytest.approx(0.0, abs=0.1)
    assert grader.grade("a", " ").value is None
