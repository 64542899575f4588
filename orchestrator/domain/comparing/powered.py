"""A mean that a judge scored everywhere and a person in places: prediction-powered inference.

theta = mean of what the person found + w (mean of the judge elsewhere - mean of the judge there),
PPI++ of Angelopoulos, Duchi and Zrnic 2023 (arXiv 2311.01453), whose weight w is 0 where the judge
tells nothing of the person and near 1 where both agree. Unbiased whatever the judge does. Pure.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.comparing.resampling import mean
from orchestrator.domain.comparing.student import t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Fewer labels of a person than this correct nothing.
FEWEST_LABELS = 10


class Powered(NamedTuple):
    """A corrected mean, its interval, and how much the judge weighed."""

    value: float
    low: float
    high: float
    weight: float


def powered_mean(
    human: Sequence[float],
    judged: Sequence[float],
    elsewhere: Sequence[float],
    confidence: float = 0.95,
) -> Powered:
    """The mean of what a person would find on every row.

    Args:
        human: what the person found, on a random part of the rows.
        judged: the judge's scores of the same rows.
        elsewhere: the judge's scores of the other rows.
        confidence: of the interval.

    Raises:
        ValueError: fewer than two rows with a label, or not one score for each.
    """
    n, others = len(human), len(elsewhere)
    if n < 2 or len(judged) != n:
        raise ValueError("a correction needs two rows that both scored")
    weight = _weight(human, judged, elsewhere) if others > 1 else 0.0
    left = [y - weight * f for y, f in zip(human, judged, strict=True)]
    value, spread = mean(left), _cautious(left)
    if others > 1:
        value += weight * mean(elsewhere)
        spread += weight**2 * _variance(elsewhere) / others
    half = t_quantile(0.5 + confidence / 2, max(1, n - 2)) * sqrt(spread)
    return Powered(value, value - half, value + half, weight)


def powered_difference(
    human: Sequence[float],
    judged: Sequence[float],
    elsewhere: Sequence[float],
    confidence: float = 0.95,
) -> Powered:
    """The mean paired difference of two arms as the person would find it.

    The same estimator on the rows' differences: what both arms share with a row drops out before
    anything varies, as it does everywhere else in a comparison.

    Args:
        human: candidate less baseline, of the rows whose answers of both arms the person judged.
        judged: the judge's difference on the same rows.
        elsewhere: the judge's difference on the other rows.
        confidence: of the interval.

    Raises:
        ValueError: fewer than two rows with labels of both arms.
    """
    found = powered_mean(human, judged, elsewhere, confidence)
    return found._replace(low=max(-1.0, found.low), high=min(1.0, found.high))


def _weight(human: Sequence[float], judged: Sequence[float], elsewhere: Sequence[float]) -> float:
    spread = _variance([*judged, *elsewhere])
    if spread == 0:
        return 0.0
    centre, found = mean(human), mean(judged)
    both = sum((y - centre) * (f - found) for y, f in zip(human, judged, strict=True))
    covariance = both / (len(human) - 1)
    best = covariance / spread / (1 + len(human) / len(elsewhere))
    return max(0.0, min(1.0, best))


def _cautious(left: Sequence[float]) -> float:
    """Squared error of the mean of what the judge leaves open.

    Few labels on which both agreed leave no spread, and would promise certainty. So a row is added
    on which they differ one way, and one the other way, as Bonett and Price do for pairs.
    """
    centre, rows = mean(left), len(left) + 2
    return (sum((v - centre) ** 2 for v in left) + 2) / (rows - 1) / rows


def _variance(values: Sequence[float]) -> float:
    centre = mean(values)
    return sum((v - centre) ** 2 for v in values) / (len(values) - 1)
