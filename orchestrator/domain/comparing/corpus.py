"""Metrics of a whole set that are no mean over rows, such as corpus BLEU: their paired difference.

Such a metric is a function of sums: matched n-grams, lengths. Rows are resampled by their share of
these sums (Koehn 2004) and the arms swapped row by row for the p (Riezler and Maxwell 2005), so that
no text is counted twice. Pure, seeded.
"""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.comparing.comparison import Difference, Word
from orchestrator.domain.comparing.difference import worded
from orchestrator.domain.comparing.resampling import quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

RESAMPLES = 1_000
# Above so many rows they are dealt into as many heaps, which are resampled whole: heaps are as
# independent as rows, and the time stays the same.
MOST_UNITS = 1_000


class Corpus(NamedTuple):
    """An arm by name, with a column for each sum and a place in it for each row."""

    name: str
    columns: Sequence[Sequence[float]]


class Rows(NamedTuple):
    """What is known of the rows beside the sums: who won how many, and the group of each."""

    won: int
    lost: int
    groups: Sequence[Hashable] | None = None


def compare_corpora(
    new: Corpus,
    old: Corpus,
    metric: Callable[[Sequence[float]], float],
    *,
    name: str,
    rows: Rows,
    alpha: float = 0.05,
    seed: int = 0,
) -> Difference:
    """The difference of a metric of the whole set, with its interval and p.

    Args:
        new: the candidate.
        old: the baseline, on the same rows.
        metric: from the sums, in the order of the columns, to a number.
        name: of the metric.
        rows: what else is known of them.
        alpha: two-sided level.
        seed: of every draw.

    Raises:
        ValueError: no rows.
    """
    size = len(new.columns[0]) if new.columns else 0
    if size == 0:
        raise ValueError("no rows, no metric")
    rng = random.Random(seed)
    units = _units(size, rows.groups, rng)
    mine, theirs = _heaped(new.columns, units), _heaped(old.columns, units)
    found = metric([sum(c) for c in mine]) - metric([sum(c) for c in theirs])
    drawn = sorted(_resampled(mine, theirs, metric, rng))
    p = _swapped(mine, theirs, metric, rng)
    return worded(
        Difference(
            candidate=new.name,
            baseline=old.name,
            metric=name,
            method="paired bootstrap of sums, approximate randomisation",
            n=size,
            diff=found,
            low=quantile(drawn, alpha / 2),
            high=quantile(drawn, 1 - alpha / 2),
            p=p,
            p_holm=p,
            won=rows.won,
            lost=rows.lost,
            verdict=Word.INCONCLUSIVE,
            units=len(set(rows.groups)) if rows.groups is not None else 0,
        ),
        alpha,
    )


def _units(size: int, groups: Sequence[Hashable] | None, rng: random.Random) -> list[list[int]]:
    """Rows that are drawn together: a group, a heap, or each alone."""
    if groups is not None:
        together: dict[Hashable, list[int]] = defaultdict(list)
        for place, group in enumerate(groups):
            together[group].append(place)
        return list(together.values())
    if size <= MOST_UNITS:
        return [[place] for place in range(size)]
    dealt = list(range(size))
    rng.shuffle(dealt)
    return [dealt[start::MOST_UNITS] for start in range(MOST_UNITS)]


def _heaped(
    columns: Sequence[Sequence[float]], units: Sequence[Sequence[int]]
) -> list[list[float]]:
    return [[sum(map(column.__getitem__, unit)) for unit in units] for column in columns]


def _resampled(
    mine: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    metric: Callable[[Sequence[float]], float],
    rng: random.Random,
) -> list[float]:
    places = range(len(mine[0]))
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(places, k=len(places))
        new = metric([sum(map(column.__getitem__, drawn)) for column in mine])
        old = metric([sum(map(column.__getitem__, drawn)) for column in theirs])
        found.append(new - old)
    return found


def _swapped(
    mine: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    metric: Callable[[Sequence[float]], float],
    rng: random.Random,
) -> float:
    """P of a difference at least so large if the arms were the same; never 0."""
    new, old = [sum(c) for c in mine], [sum(c) for c in theirs]
    gaps = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(mine, theirs, strict=True)]
    observed, hits = abs(metric(new) - metric(old)) - 1e-12, 1
    for _ in range(RESAMPLES):
        flips = [byte & 1 for byte in rng.randbytes(len(gaps[0]))]
        moved = [sum(compress(gap, flips)) for gap in gaps]
        one = metric([total - move for total, move in zip(new, moved, strict=True)])
        other = metric([total + move for total, move in zip(old, moved, strict=True)])
        hits += abs(one - other) >= observed
    return hits / (RESAMPLES + 1)
