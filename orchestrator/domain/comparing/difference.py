"""From paired scores to a difference with its interval, its p and its word. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.comparing import resampling, statistics
from orchestrator.domain.comparing.comparison import BINARY, Difference, ParityTest, Word
from orchestrator.domain.comparing.student import t_cdf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FEWEST_ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two arms on the same rows, by name.

    Attributes:
        new: scores of the candidate, one a row.
        old: scores of the baseline, on the same rows.
        slice: the part of the task the rows belong to; None for all of it.
        groups: which group each row is of; None when every row stands alone.
    """

    candidate: str
    baseline: str
    metric: str
    new: Sequence[float]
    old: Sequence[float]
    slice: str | None = None
    groups: Sequence[str] | None = None


class _Evidence(NamedTuple):
    """What a method found, and how it would test a bound."""

    method: str
    interval: statistics.Interval
    p: float
    units: int
    parity: Callable[[float], ParityTest]


def compare_scores(
    pair: Pair, *, alpha: float = 0.05, margin: float | None = None, seed: int = 0
) -> Difference:
    """One paired difference; its word is set for a family of one.

    Scores that are all 0 or 1 take Tango's interval and McNemar's mid-p, others the bootstrap and
    the sign-flip permutation. Rows in groups flip, and err, by whole groups.

    Raises:
        ValueError: no rows, or not the same number in both arms.
    """
    differences = [new - old for new, old in zip(pair.new, pair.old, strict=True)]
    won, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    if pair.groups is not None:
        found = _clustered(differences, pair.groups, alpha, seed)
    elif all_or_nothing(pair.new) and all_or_nothing(pair.old):
        found = _binary(won, lost, len(differences), alpha)
    else:
        found = _graded(differences, alpha, seed)
    difference = Difference(
        candidate=pair.candidate,
        baseline=pair.baseline,
        metric=pair.metric,
        method=found.method,
        n=len(differences),
        diff=resampling.mean(differences),
        low=found.interval.low,
        high=found.interval.high,
        p=found.p,
        p_holm=found.p,
        won=won,
        lost=lost,
        verdict=Word.INCONCLUSIVE,
        parity=found.parity(margin) if margin is not None else None,
        slice=pair.slice,
        units=found.units,
    )
    return worded(difference, alpha)


def family(differences: Sequence[Difference], alpha: float = 0.05) -> list[Difference]:
    """Adjust a family of differences by Holm, and word them anew."""
    adjusted = statistics.holm([d.p for d in differences])
    return [worded(replace(d, p_holm=p), alpha) for d, p in zip(differences, adjusted, strict=True)]


def worded(difference: Difference, alpha: float) -> Difference:
    """The same difference with the word that its numbers earn.

    Improved and Degraded need both: the adjusted p under alpha and an interval that excludes 0.
    """
    decided = difference.p_holm < alpha
    if difference.decided_by < FEWEST_ROWS:
        word = Word.TOO_FEW
    elif decided and difference.low > 0:
        word = Word.IMPROVED
    elif difference.parity is not None and difference.parity.p < alpha:
        word = Word.PARITY
    elif decided and difference.high < 0:
        word = Word.DEGRADED
    else:
        word = Word.INCONCLUSIVE
    return replace(difference, verdict=word)


def all_or_nothing(scores: Sequence[float]) -> bool:
    """Whether every score is 0 or 1."""
    return all(score in {0.0, 1.0} for score in scores)


def _binary(won: int, lost: int, rows: int, alpha: float) -> _Evidence:
    def parity(margin: float) -> ParityTest:
        test = statistics.parity(won, lost, rows, margin, alpha)
        low, high = test.interval
        return ParityTest(
            margin=margin,
            p=test.p,
            low=low,
            high=high,
            equivalent=test.p < alpha and test.p_upper < alpha,
        )

    return _Evidence(
        f"{BINARY}, McNemar mid-p",
        statistics.tango(won, lost, rows, 1 - alpha),
        statistics.mcnemar_mid_p(won, lost),
        rows,
        parity,
    )


def _graded(differences: Sequence[float], alpha: float, seed: int) -> _Evidence:
    rows = len(differences)

    def parity(margin: float) -> ParityTest:
        inner = resampling.bootstrap(differences, confidence=1 - 2 * alpha, seed=seed)
        error = resampling.standard_error(differences)
        return _bounded(differences, inner, (error, rows), margin, alpha)

    return _Evidence(
        "bootstrap, sign-flip permutation",
        resampling.bootstrap(differences, confidence=1 - alpha, seed=seed),
        resampling.sign_flip(differences, seed=seed),
        rows,
        parity,
    )


def _clustered(
    differences: Sequence[float], groups: Sequence[str], alpha: float, seed: int
) -> _Evidence:
    count = len(set(groups))
    if count < 2:
        raise ValueError("rows in groups need two groups")

    def parity(margin: float) -> ParityTest:
        inner = resampling.clustered_interval(differences, groups, 1 - 2 * alpha)
        error = resampling.clustered_error(differences, groups)
        return _bounded(differences, inner, (error, count), margin, alpha)

    return _Evidence(
        f"clustered t interval, sign-flip of {count} groups",
        resampling.clustered_interval(differences, groups, 1 - alpha),
        resampling.clustered_sign_flip(differences, groups, seed=seed),
        count,
        parity,
    )


def _bounded(
    differences: Sequence[float],
    inner: statistics.Interval,
    spread: tuple[float, int],
    margin: float,
    alpha: float,
) -> ParityTest:
    """One-sided t tests against the margin; `spread` is the standard error and its units."""
    centre = resampling.mean(differences)
    # Never narrower than what rows without any difference would leave open.
    floor = resampling.no_spread(spread[1], 1 - 2 * alpha)
    low, high = min(inner.low, centre - floor), max(inner.high, centre + floor)
    p = _one_sided(centre + margin, spread)
    p_upper = _one_sided(margin - centre, spread)
    p = p if low > -margin else max(p, alpha)
    p_upper = p_upper if high < margin else max(p_upper, alpha)
    return ParityTest(
        margin=margin, p=p, low=low, high=high, equivalent=p < alpha and p_upper < alpha
    )


def _one_sided(distance: float, spread: tuple[float, int]) -> float:
    """P of a mean at least so far from the bound if the true one lay on it, by Student's t."""
    error, units = spread
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return 1 - t_cdf(distance / error, units - 1)
