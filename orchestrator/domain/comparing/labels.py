"""Macro-F1 of answers that are labels, and how far two arms lie apart in it. Pure."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.domain.comparing import resampling
from orchestrator.domain.comparing.comparison import Difference, Word
from orchestrator.domain.comparing.difference import worded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    # What is right, what the candidate said, what the baseline said.
    Kind = tuple[str, str, str]

_PERMUTATIONS = 2000


def macro_f1(counts: Mapping[tuple[str, str], int]) -> float:
    """Mean over the reference labels of each one's F1, all weighing the same.

    Args:
        counts: how often each (reference, label) occurs.

    Raises:
        ValueError: no rows.
    """
    wanted: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for (reference, label), count in counts.items():
        wanted[reference] += count
        given[label] += count
    right = [counts.get((label, label), 0) for label in wanted]
    return _mean_f1(wanted.values(), [given[label] for label in wanted], right)


def compare_labels(
    references: Sequence[str],
    pair: tuple[str, Sequence[str]],
    against: tuple[str, Sequence[str]],
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> Difference:
    """Difference in macro-F1, which is of the whole set: bootstrap, and permutation of labels.

    Args:
        references: the right label of each row.
        pair: name and labels of the candidate.
        against: name and labels of the baseline.
        alpha: two-sided level.
        seed: of bootstrap and permutation.
    """
    counts = Counter(zip(references, pair[1], against[1], strict=True))
    table, seen = _Table(counts), list(counts.values())
    interval = resampling.bootstrap_counts(seen, table.apart, confidence=1 - alpha, seed=seed)
    p = _permutation(counts, seed)
    found = Difference(
        candidate=pair[0],
        baseline=against[0],
        metric="macro_f1",
        method="bootstrap of the whole set, label permutation",
        n=len(references),
        diff=table.apart(seen),
        low=interval.low,
        high=interval.high,
        p=p,
        p_holm=p,
        won=sum(n for (r, new, old), n in counts.items() if new == r != old),
        lost=sum(n for (r, new, old), n in counts.items() if old == r != new),
        verdict=Word.INCONCLUSIVE,
    )
    return worded(found, alpha)


class _Table:
    """Kinds of rows with numbers for labels: it is evaluated for thousands of drawn sets."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        kinds = list(kinds)
        labels = sorted({label for kind in kinds for label in kind})
        number = {label: n for n, label in enumerate(labels)}
        self._kinds = [(number[r], number[new], number[old]) for r, new, old in kinds]
        self._size = len(labels)

    def apart(self, counts: Iterable[int]) -> float:
        """The candidate's macro-F1 less the baseline's, of so many rows of each kind."""
        wanted, new, old, new_right, old_right = ([0] * self._size for _ in range(5))
        for (reference, candidate, baseline), count in zip(self._kinds, counts, strict=True):
            wanted[reference] += count
            new[candidate] += count
            old[baseline] += count
            if candidate == reference:
                new_right[reference] += count
            if baseline == reference:
                old_right[reference] += count
        return _mean_f1(wanted, new, new_right) - _mean_f1(wanted, old, old_right)


def _mean_f1(wanted: Iterable[int], given: Iterable[int], right: Iterable[int]) -> float:
    scores = [
        2 * hits / (want + gave)
        for want, gave, hits in zip(wanted, given, right, strict=True)
        if want
    ]
    if not scores:
        raise ValueError("no rows, no metric")
    return sum(scores) / len(scores)


def _permutation(counts: Counter[Kind], seed: int) -> float:
    """Swap the arms' labels row by row; equal rows swap together as one binomial draw."""
    kinds = sorted({*counts, *((r, old, new) for r, new, old in counts)})
    place = {kind: n for n, kind in enumerate(kinds)}
    swaps = [
        (place[r, new, old], place[r, old, new], count)
        for (r, new, old), count in sorted(counts.items())
    ]
    table, rng, hits = _Table(kinds), random.Random(seed), 1
    observed = abs(table.apart([counts[kind] for kind in kinds])) - 1e-12
    for _ in range(_PERMUTATIONS):
        drawn = [0] * len(kinds)
        for here, there, count in swaps:
            swapped = rng.getrandbits(count).bit_count() if here != there else 0
            drawn[here] += count - swapped
            drawn[there] += swapped
        hits += abs(table.apart(drawn)) >= observed
    return hits / (_PERMUTATIONS + 1)
