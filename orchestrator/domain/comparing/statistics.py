"""Paired statistics on right and wrong answers, and the corrections over several of them.

In every function `won` counts the rows that only the new arm got right, `lost` those that only the
old arm got right, and `rows` all rows that both answered. Standard library only; the reference
values and the sources are in docs/statistics.md.
"""

from __future__ import annotations

from math import comb, exp, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NORMAL = NormalDist()
# Above this many discordant rows whole binomials in big integers get slow, and logs are exact enough.
_MOST_EXACT = 4000
_HALVINGS = 200


class Interval(NamedTuple):
    """A two-sided confidence interval, both ends included."""

    low: float
    high: float


class Parity(NamedTuple):
    """One-sided tests that a paired difference stays within a margin.

    Attributes:
        p: that the new arm is not worse by the margin or more (non-inferiority).
        p_upper: that it is not better by the margin or more; both small is equivalence (TOST).
        interval: the interval at level 1 - 2 * alpha that decides the same way.
    """

    p: float
    p_upper: float
    interval: Interval


def critical(confidence: float) -> float:
    """The two-sided normal quantile: 1.96 for 0.95."""
    return NORMAL.inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, rows: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927).

    Raises:
        ValueError: no rows, or more successes than rows.
    """
    _check(rows, successes)
    z = critical(confidence)
    p = successes / rows
    scale = 1 + z * z / rows
    centre = (p + z * z / (2 * rows)) / scale
    half = z * sqrt(p * (1 - p) / rows + z * z / (4 * rows * rows)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == rows else min(1.0, centre + half)
    return Interval(low, high)


def mcnemar_exact(won: int, lost: int) -> float:
    """Two-sided exact p that wins and losses are equally likely (McNemar 1947); 1 without any."""
    tail, _ = _half_binomial(won + lost, min(won, lost))
    return min(1.0, 2 * tail)


def mcnemar_mid_p(won: int, lost: int) -> float:
    """Two-sided mid-p (Fagerland 2013): the exact p less the chance of the split seen."""
    if won + lost == 0:
        return 1.0
    tail, point = _half_binomial(won + lost, min(won, lost))
    return min(1.0, 2 * tail - point)


def tango_z(won: int, lost: int, rows: int, delta: float) -> float:
    """Score statistic of the hypothesis that the true difference is `delta` (Tango 1998)."""
    spread = 2 * _restricted(won, lost, rows, delta) + delta * (1 - delta)
    distance = won - lost - rows * delta
    if distance == 0:
        return 0.0
    if spread <= 0:
        return float("inf") if distance > 0 else float("-inf")
    return distance / sqrt(rows * spread)


def tango(won: int, lost: int, rows: int, confidence: float = 0.95) -> Interval:
    """Score interval of the paired difference of two proportions (Tango 1998).

    Unlike a bootstrap it does not shrink to nothing when no row is won or lost.
    """
    _check(rows, won, lost)
    z = critical(confidence)
    difference = (won - lost) / rows

    def score(delta: float) -> float:
        return tango_z(won, lost, rows, delta)

    low = -1.0 if lost == rows else _root(score, z, -1.0, difference)
    high = 1.0 if won == rows else _root(score, -z, difference, 1.0)
    return Interval(low, high)


def parity(won: int, lost: int, rows: int, margin: float, alpha: float = 0.05) -> Parity:
    """Tango's one-sided tests against a margin fixed before the rows were seen.

    Args:
        won: rows only the new arm got right.
        lost: rows only the old arm got right.
        rows: rows both answered.
        margin: largest loss that does not matter, as a proportion (0.03 is 3 points).
        alpha: level of each one-sided test.

    Raises:
        ValueError: counts that do not fit, or a margin outside 0 to 1.
    """
    _check(rows, won, lost)
    if not 0 < margin < 1:
        raise ValueError("a margin lies between 0 and 1")
    return Parity(
        p=NORMAL.cdf(-tango_z(won, lost, rows, -margin)),
        p_upper=NORMAL.cdf(tango_z(won, lost, rows, margin)),
        interval=tango(won, lost, rows, 1 - 2 * alpha),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979), in the order given."""
    count = len(p_values)
    adjusted = [0.0] * count
    largest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's agreement of two raters beyond chance; None when chance explains everything."""
    rows = len(first)
    if rows == 0 or rows != len(second):
        raise ValueError("two raters rate the same rows")
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / rows
    chance = sum(first.count(label) * second.count(label) for label in set(first) & set(second)) / (
        rows * rows
    )
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def binomial_probability(trials: int, successes: int, p: float) -> float:
    """The chance of exactly that many successes."""
    if p in {0.0, 1.0}:
        return float(successes == (trials if p else 0))
    ways = lgamma(trials + 1) - lgamma(successes + 1) - lgamma(trials - successes + 1)
    return exp(ways + successes * log(p) + (trials - successes) * log1p(-p))


def _half_binomial(trials: int, successes: int) -> tuple[float, float]:
    """P(X <= successes) and P(X = successes) for a fair coin."""
    if trials > _MOST_EXACT:
        point = binomial_probability(trials, successes, 0.5)
        tail, term = 0.0, point
        for k in range(successes, -1, -1):
            tail += term
            term *= k / (trials - k + 1)
            if term < tail * 1e-18:
                break
        return tail, point
    ways = comb(trials, successes)
    total, term = 0, 1
    for k in range(successes + 1):
        total += term
        term = term * (trials - k) // (k + 1)
    return total / 2**trials, ways / 2**trials


def _restricted(won: int, lost: int, rows: int, delta: float) -> float:
    """Likeliest chance of a lost row when the difference is `delta`."""
    b = -won - lost + (2 * rows - won + lost) * delta
    c = -lost * delta * (1 - delta)
    root = sqrt(max(0.0, b * b - 8 * rows * c))
    # Of the two forms of the root, the one that does not subtract near-equal numbers.
    return (root - b) / (4 * rows) if b <= 0 else (-2 * c / (root + b) if root + b else 0.0)


def _root(score: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where the falling `score` meets `target`, by bisection."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if score(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _check(rows: int, *counts: int) -> None:
    if rows < 1 or any(count < 0 for count in counts) or sum(counts) > rows:
        raise ValueError(
            "counts are not negative and not more than the rows, of which one is needed"
        )
