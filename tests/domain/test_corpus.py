"""Metrics of a whole set: the sums add up to sacrebleu's numbers, and so does the test."""

from __future__ import annotations

import random

import pytest

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.comparing.corpus import Corpus, Rows, compare_corpora
from orchestrator.grading.overlap import Chrf
from orchestrator.grading.registry import make_grader

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "was", "fat", "über", "größe", "quickly"]


def texts(rows: int, noise: float, seed: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    wanted = [rng.choices(WORDS, k=rng.randint(6, 14)) for _ in range(rows)]
    said = [[w if rng.random() > noise else rng.choice(WORDS) for w in row] for row in wanted]
    return [" ".join(row) for row in wanted], [" ".join(row) for row in said]


def columns(spec: str, said: list[str], wanted: list[str]) -> list[list[int]]:
    grader = make_grader(spec)
    sums = [grader.grade(a, b).sums for a, b in zip(said, wanted, strict=True)]
    return [list(column) for column in zip(*sums, strict=True)]


@pytest.mark.parametrize("spec", ["bleu", "chrf"])
def test_the_corpus_scores_are_those_of_sacrebleu(spec: str):
    metrics = pytest.importorskip("sacrebleu.metrics")
    wanted, said = texts(60, 0.3, 1)
    oracle = metrics.BLEU() if spec == "bleu" else metrics.CHRF()
    sums = [sum(column) for column in columns(spec, said, wanted)]
    found = make_grader(spec).corpus(sums)  # type: ignore[attr-defined]
    assert found == pytest.approx(oracle.corpus_score(said, [wanted]).score / 100, abs=1e-9)


def test_the_difference_is_that_of_sacrebleus_paired_bootstrap():
    significance = pytest.importorskip("sacrebleu.significance")
    metrics = pytest.importorskip("sacrebleu.metrics")
    wanted, worse = texts(200, 0.40, 2)
    _, better = texts(200, 0.34, 2)
    named = [("worse", worse), ("better", better)]
    _, scores = significance.PairedTest(
        named, {"chrF": metrics.CHRF(references=[wanted])}, None, test_type="bs", n_samples=1000
    )()
    oracle = scores["chrF2"][1]
    found = compare_corpora(
        Corpus("better", columns("chrf", better, wanted)),
        Corpus("worse", columns("chrf", worse, wanted)),
        Chrf().corpus,
        name="corpus_chrf",
        rows=Rows(120, 80),
    )
    assert found.low < found.diff < found.high
    assert 100 * found.diff == pytest.approx(oracle.score - scores["chrF2"][0].score, abs=1e-6)
    assert found.p == pytest.approx(oracle.p_value, abs=0.02)
    assert found.verdict is Word.IMPROVED


def test_arms_that_are_the_same_do_not_differ_and_heaps_agree_with_rows():
    wanted, said = texts(1100, 0.3, 3)
    _, other = texts(1100, 0.3, 4)
    same = columns("chrf", said, wanted)
    rows = Rows(0, 0)
    found = compare_corpora(
        Corpus("a", same), Corpus("b", same), Chrf().corpus, name="x", rows=rows
    )
    assert (found.diff, found.low, found.high, found.p) == (0, 0, 0, 1)
    few = [c[:1000] for c in same]
    against = [c[:1000] for c in columns("chrf", other, wanted)]
    alone = compare_corpora(
        Corpus("a", few), Corpus("b", against), Chrf().corpus, name="x", rows=rows
    )
    grouped = compare_corpora(
        Corpus("a", few), Corpus("b", against), Chrf().corpus, name="x",
        rows=Rows(0, 0, list(range(1000))),
    )  # fmt: skip
    assert (alone.low, alone.high) == (grouped.low, grouped.high)
    assert (alone.units, grouped.units) == (0, 1000)
