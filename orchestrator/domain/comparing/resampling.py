"""Paired statistics on scores between 0 and 1: permutation, bootstrap, t, clusters.

Everything random takes a seed, so the same rows give the same numbers. Standard library only.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import product
from math import fsum, sqrt
from typing import TYPE_CHECKING

from orchestrator.domain.comparing.statistics import NORMAL, Interval
from orchestrator.domain.comparing.student import t_quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

MOST_EXACT_FLIPS = 16
RESAMPLES = 10_000
# Above this many rows a bootstrap and a t interval of a mean agree to more digits than are shown.
MOST_BOOTSTRAPPED = 2_000
# Draws that one interval may take; many rows need fewer resamples for the same digits.
_MOST_DRAWS = 5_000_000
_FEWEST_RESAMPLES = 2_000
# With so many different sizes the permuted sum is normal (Lyapunov) to more digits than are shown;
# where many rows differ, fewer sizes do: the sum is symmetric, so its error falls as 1 / rows.
_MOST_SIZES = 400
_MANY_FLIPS, _SIZES_OF_MANY = 1_000, 50
_LEAST_PERCENTILE = 50
_SLACK = 1e-12
_MOST_DRAWN = 1000
_TABLE = 1 << 16
# From here on a Poisson count is normal to more digits than an interval shows.
_NORMAL_COUNT = 50


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no rows, no mean")
    return fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean, with n - 1; 0 for one value."""
    if len(values) < 2:
        return 0.0
    centre = mean(values)
    return sqrt(fsum((v - centre) ** 2 for v in values) / (len(values) - 1) / len(values))


def clustered_error(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """Standard error of the mean when rows of one group depend on each other, with G/(G-1).

    Raises:
        ValueError: fewer than two groups, or not one group a row.
    """
    sums: dict[Hashable, float] = defaultdict(float)
    centre = mean(values)
    for value, group in zip(values, groups, strict=True):
        sums[group] += value - centre
    count = len(sums)
    if count < 2:
        raise ValueError("a clustered error needs two groups")
    return sqrt(count / (count - 1) * fsum(s * s for s in sums.values())) / len(values)


def clustered_interval(
    values: Sequence[float], groups: Sequence[Hashable], confidence: float = 0.95
) -> Interval:
    """Student's interval of a mean over rows in groups, with G - 1 degrees of freedom.

    Groups without any spread take the width that `no_spread` leaves to so many of them.
    """
    centre, count = mean(values), len(set(groups))
    error = clustered_error(values, groups)
    half = t_quantile(0.5 + confidence / 2, count - 1) * error
    half = half or no_spread(count, confidence)
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def sign_flip(
    differences: Sequence[float], *, seed: int = 0, permutations: int = RESAMPLES
) -> float:
    """Two-sided permutation p that the differences are as likely negative as positive.

    Exact for up to 16 rows that differ; above it `permutations` seeded draws, counting the
    observed one (Phipson and Smyth 2010), so that p is never 0; the normal limit of both where
    more than 400 differences have sizes of their own.
    """
    sizes = [abs(d) for d in differences if d]
    if not sizes:
        return 1.0
    observed = abs(fsum(differences)) * (1 - _SLACK) - _SLACK
    if len(sizes) <= MOST_EXACT_FLIPS:
        hits = sum(
            abs(fsum(s * x for s, x in zip(signs, sizes, strict=True))) >= observed
            for signs in product((1, -1), repeat=len(sizes))
        )
        return float(hits / 2 ** len(sizes))
    return _sampled_flips(sizes, observed, random.Random(seed), permutations)


def clustered_sign_flip(
    differences: Sequence[float], groups: Sequence[Hashable], *, seed: int = 0
) -> float:
    """The permutation p when whole groups flip together."""
    sums: dict[Hashable, float] = defaultdict(float)
    for value, group in zip(differences, groups, strict=True):
        sums[group] += value
    return sign_flip(list(sums.values()), seed=seed)


def bootstrap(
    differences: Sequence[float],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int | None = None,
) -> Interval:
    """Interval of a mean of paired differences: percentile, or BCa below 50 rows.

    Rows that all differ by the same amount carry no spread to resample; then the width is that of
    Tango's interval without a discordant row, which is right for scores between 0 and 1.
    """
    centre = mean(differences)
    if min(differences) == max(differences):
        half = no_spread(len(differences), confidence)
        return Interval(max(-1.0, centre - half), min(1.0, centre + half))
    if len(differences) > MOST_BOOTSTRAPPED:
        return t_interval(differences, confidence)
    rng, rows = random.Random(seed), len(differences)
    resamples = resamples or max(_FEWEST_RESAMPLES, min(RESAMPLES, _MOST_DRAWS // rows))
    means = sorted(total / rows for total in _resampled_sums(differences, rng, resamples))
    low, high = (1 - confidence) / 2, (1 + confidence) / 2
    if rows < _LEAST_PERCENTILE:
        low, high = _bca_levels(differences, means, centre, (low, high))
    return Interval(quantile(means, low), quantile(means, high))


def bootstrap_counts(
    counts: Sequence[int],
    statistic: Callable[[Sequence[int]], float],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    """Percentile interval of a statistic of the whole set, such as a difference of macro-F1.

    Args:
        counts: how many rows there are of each kind.
        statistic: from such counts to a number.
        confidence: level of the interval.
        seed: of the resampling.
        resamples: how many sets are drawn.

    Above 1,000 rows the count of each kind is drawn by itself (Poisson bootstrap), which for a
    statistic of shares is the same and takes no longer for more rows.
    """
    rng, size, kinds = random.Random(seed), sum(counts), range(len(counts))

    def drawn() -> list[int]:
        if size > _MOST_DRAWN:
            return [_poisson(rng, count) for count in counts]
        found = Counter(rng.choices(kinds, weights=counts, k=size))
        return [found[kind] for kind in kinds]

    values = sorted(statistic(drawn()) for _ in range(resamples))
    low, high = (1 - confidence) / 2, (1 + confidence) / 2
    return Interval(quantile(values, low), quantile(values, high))


def no_spread(rows: int, confidence: float = 0.95) -> float:
    """Half-width of Tango's interval when no row is won or lost: z² / (n + z²)."""
    z = NORMAL.inv_cdf(0.5 + confidence / 2)
    return z * z / (rows + z * z)


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of a mean."""
    half = t_quantile(0.5 + confidence / 2, len(values) - 1) * standard_error(values)
    return Interval(mean(values) - half, mean(values) + half)


def quantile(ordered: Sequence[float], p: float) -> float:
    """Linear interpolation between the order statistics (Hyndman and Fan's type 7)."""
    position = p * (len(ordered) - 1)
    below = min(max(int(position), 0), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _resampled_sums(values: Sequence[float], rng: random.Random, resamples: int) -> Iterator[float]:
    """Sums of as many draws with replacement as there are values.

    Sixteen random bits choose a place in a table that holds every value equally often, which is ten
    times faster than a call a draw. What is left of the table is cut from a shuffled deck, elsewhere
    for each resample, so that no value is likelier than another.
    """
    rows = len(values)
    if rows > _TABLE // 8:
        for _ in range(resamples):
            yield sum(rng.choices(values, k=rows))
        return
    table, deck = list(values) * (_TABLE // rows), list(values)
    rng.shuffle(deck)
    deck += deck
    kept = len(table)
    for _ in range(resamples):
        cut = rng.randrange(rows)
        table[kept:] = deck[cut : cut + _TABLE - kept]
        places = memoryview(rng.randbytes(2 * rows)).cast("H")
        yield sum(map(table.__getitem__, places))


def _sampled_flips(
    sizes: Sequence[float], observed: float, rng: random.Random, permutations: int
) -> float:
    # Equal sizes flip together: the number of plus signs among m of them is a binomial draw, which
    # is the count of set bits in m random bits. Memory and time do not grow with the rows.
    groups = sorted(Counter(sizes).items())
    many = len(sizes) > _MANY_FLIPS and len(groups) > _SIZES_OF_MANY
    if many or len(groups) > _MOST_SIZES:
        return 2 * NORMAL.cdf(-observed / sqrt(fsum(s * s for s in sizes)))
    hits = 1
    for _ in range(permutations):
        total = 0.0
        for size, count in groups:
            total += size * (2 * rng.getrandbits(count).bit_count() - count)
        hits += abs(total) >= observed
    return hits / (permutations + 1)


def _bca_levels(
    values: Sequence[float], means: Sequence[float], centre: float, levels: tuple[float, float]
) -> tuple[float, float]:
    """Bias-corrected, accelerated percentile levels (Efron 1987)."""
    below = (sum(m < centre for m in means) + 0.5 * sum(m == centre for m in means)) / len(means)
    if not 0 < below < 1:
        return levels
    cubes = fsum((centre - v) ** 3 for v in values)
    squares = fsum((centre - v) ** 2 for v in values)
    shift, bend = NORMAL.inv_cdf(below), -cubes / (6 * squares**1.5)

    def moved(level: float) -> float:
        z = shift + NORMAL.inv_cdf(level)
        return NORMAL.cdf(shift + z / (1 - bend * z))

    return moved(levels[0]), moved(levels[1])


def _poisson(rng: random.Random, expected: float) -> int:
    if expected > _NORMAL_COUNT:
        return max(0, round(rng.gauss(expected, sqrt(expected))))
    count, passed = 0, rng.expovariate(1.0)
    while passed < expected:
        count += 1
        passed += rng.expovariate(1.0)
    return count
