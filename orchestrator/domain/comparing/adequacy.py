"""Whether the rows of a difference suffice: what they find, and how many would find more. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from orchestrator.domain.comparing import power
from orchestrator.domain.comparing.statistics import NORMAL, critical

if TYPE_CHECKING:
    from orchestrator.domain.comparing.comparison import Difference

#: The gain that a comparison is asked to find where nobody names another, as a proportion.
WANTED = 0.05
# Exact rows for parity are enumerated up to about this many; beyond it the formula is close enough.
_MOST_EXACT = 1500


def detectable(found: Difference, *, alpha: float = 0.05) -> float | None:
    """The smallest difference that these rows find with 80 % power; None when they find none.

    Right and wrong answers by Connor 1987, from the share of rows that differed; anything else
    from the standard error that was measured (Miller 2024).
    """
    if found.is_binary:
        return power.detectable(found.n, _discordance(found), alpha=alpha)
    reach = _error(found, alpha) * (critical(1 - alpha) + NORMAL.inv_cdf(0.8))
    return reach if 0 < reach < 1 else None


def rows_for(found: Difference, effect: float = WANTED, *, alpha: float = 0.05) -> int:
    """How many rows like these find a true difference of that size with 80 % power.

    Args:
        found: what was measured; how far its rows vary is what the answer rests on.
        effect: as a proportion.
        alpha: two-sided level.
    """
    if found.is_binary:
        share = max(_discordance(found), effect)
        return ceil(power.rows_for_difference(effect, share, alpha=alpha))
    return ceil(power.rows_for_scores(effect, _variance(found, alpha), alpha=alpha))


def about(rows: int) -> str:
    """So many rows in words: two digits are all that such a number is worth."""
    step = 10 ** max(0, len(str(rows)) - 2)
    return f"about {-(-rows // step) * step:,} rows"


def rows_for_parity(found: Difference, margin: float, *, alpha: float = 0.05) -> int:
    """How many rows show parity with 80 % power if both arms are truly equal."""
    spread = _discordance(found) if found.is_binary else _variance(found, alpha)
    rough = power.rows_for_scores(margin, spread, alpha=2 * alpha)
    exact = None
    if found.is_binary and rough <= _MOST_EXACT:
        exact = power.rows_for_parity(margin, spread, alpha=alpha)
    return exact or ceil(rough)


def _discordance(found: Difference) -> float:
    # Without any discordant row the share is still not known to be 0.
    return max(found.won + found.lost, 1) / found.n


def _error(found: Difference, alpha: float) -> float:
    return (found.high - found.low) / 2 / critical(1 - alpha)


def _variance(found: Difference, alpha: float) -> float:
    """Of one row's difference, as if rows stood alone; groups make it larger, as they should."""
    return found.n * _error(found, alpha) ** 2
