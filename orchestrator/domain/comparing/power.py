"""How many rows decide, and what the rows at hand can show: before money is spent."""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

from orchestrator.domain.comparing.statistics import (
    NORMAL,
    binomial_probability,
    critical,
    tango_z,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# Cells this rare do not move a power in its sixth digit.
_NEGLIGIBLE = 1e-10
# The teeth of an exact power curve are about this many rows wide.
_TOOTH = 16


def rows_for_difference(
    difference: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Rows for McNemar's test to find a difference (Connor 1987); not rounded.

    Args:
        difference: true paired difference, as a proportion.
        discordance: share of rows on which exactly one arm is right.
        alpha: two-sided level.
        power: chance to find it.

    Raises:
        ValueError: the difference is 0 or larger than the discordance.
    """
    size = abs(difference)
    if not 0 < size <= discordance <= 1:
        raise ValueError("a difference is not 0 and not larger than the discordance")
    z_alpha, z_beta = critical(1 - alpha), NORMAL.inv_cdf(power)
    root = z_alpha * sqrt(discordance) + z_beta * sqrt(discordance - size * size)
    return (root / size) ** 2


def detectable(
    rows: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest difference that `rows` rows find with that power; None when none is found."""
    if rows < 1 or not 0 < discordance <= 1:
        return None
    if rows_for_difference(discordance, discordance, alpha=alpha, power=power) > rows:
        return None
    low, high = 0.0, discordance
    for _ in range(60):
        middle = (low + high) / 2
        needed = rows_for_difference(middle, discordance, alpha=alpha, power=power)
        low, high = (middle, high) if needed > rows else (low, middle)
    return high


def parity_power(
    rows: int,
    margin: float,
    discordance: float,
    *,
    difference: float = 0.0,
    alpha: float = 0.05,
) -> float:
    """Exact power of the non-inferiority test at a true difference (0: truly equal).

    Sums the chance of every (won, lost) that rejects.
    """
    z = NORMAL.inv_cdf(1 - alpha)
    towards = (discordance + difference) / (2 * discordance)
    total = 0.0
    for discordant in range(rows + 1):
        chance = binomial_probability(rows, discordant, discordance)
        if chance < _NEGLIGIBLE:
            continue
        fewest = _first(discordant, lambda won, lost: tango_z(won, lost, rows, -margin) > z)
        total += chance * min(1.0, _tail(discordant, fewest, towards))
    return total


def rows_for_parity(
    margin: float,
    discordance: float,
    *,
    difference: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int | None:
    """Fewest rows with which the non-inferiority test reaches that power, by exact enumeration.

    The power climbs in small teeth: a few rows more may fall just below it again.
    None when the true difference is at or beyond the margin.
    """
    if difference <= -margin or not 0 < discordance <= 1:
        return None
    z = NORMAL.inv_cdf(1 - alpha) + NORMAL.inv_cdf(power)
    guess = ceil(z * z * discordance / (margin + difference) ** 2)

    def enough(rows: int) -> bool:
        return parity_power(rows, margin, discordance, difference=difference, alpha=alpha) >= power

    high = max(guess, 2)
    while not enough(high):
        high = ceil(high * 1.15)
    low = max(2, int(guess * 0.7))
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return next(
        rows for rows in range(max(2, low - _TOOTH), low + 1) if rows == low or enough(rows)
    )


def rows_for_scores(
    difference: float,
    between: float,
    *,
    within: tuple[float, float] = (0.0, 0.0),
    repeats: tuple[int, int] = (1, 1),
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Rows for a paired difference of scores (Miller 2024); not rounded.

    Args:
        difference: true difference of the means.
        between: variance over rows of the true difference.
        within: variance of repeated answers to one row, per arm.
        repeats: answers taken per row, per arm; they buy only the `within` part.
        alpha: two-sided level.
        power: chance to find it.
    """
    spread = between + within[0] / repeats[0] + within[1] / repeats[1]
    z = critical(1 - alpha) + NORMAL.inv_cdf(power)
    return z * z * spread / difference**2


def _first(discordant: int, rejects: Callable[[int, int], bool]) -> int:
    """Fewest wins that reject, which is monotone in them; one more than there are rows when none do."""
    low, high = 0, discordant + 1
    while low < high:
        middle = (low + high) // 2
        if rejects(middle, discordant - middle):
            high = middle
        else:
            low = middle + 1
    return low


def _tail(trials: int, least: int, p: float) -> float:
    return sum(binomial_probability(trials, k, p) for k in range(least, trials + 1))
