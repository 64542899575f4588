"""What follows from a difference, in words; intervals, noise, and the spread of latencies. Pure."""

from __future__ import annotations

from dataclasses import replace
from math import fsum, sqrt
from typing import TYPE_CHECKING

from orchestrator.domain.comparing import adequacy, resampling, statistics
from orchestrator.domain.comparing.comparison import Difference, Noise, Word
from orchestrator.domain.comparing.difference import all_or_nothing, worded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.comparing.arm import Plan

_LATENCIES = 101


def interval(scores: Sequence[float], groups: Sequence[str] | None, seed: int) -> list[float]:
    """The 95 % interval of a mean score, within 0 and 1."""
    if groups is not None:
        low, high = resampling.clustered_interval(scores, groups)
    elif all_or_nothing(scores):
        low, high = statistics.wilson(round(sum(scores)), len(scores))
    else:
        low, high = resampling.bootstrap(scores, seed=seed)
    return [max(0.0, low), min(1.0, high)]


def noise_of(found: Difference) -> Noise:
    """What an arm differs from itself."""
    return Noise(
        arm=found.baseline,
        again=found.candidate,
        n=found.n,
        diff=found.diff,
        low=found.low,
        high=found.high,
        discordant=(found.won + found.lost) / found.n,
    )


def noise_of_repeats(arm: str, variances: Sequence[float]) -> Noise:
    """What an arm would differ from itself if it was asked as often again, from its repeats.

    Args:
        arm: its name.
        variances: of each row's mean over its repeats.
    """
    rows = len(variances)
    half = statistics.NORMAL.inv_cdf(0.975) * sqrt(2 * fsum(variances)) / rows
    return Noise(
        arm=arm,
        again="its repeats",
        n=rows,
        diff=0.0,
        low=-half,
        high=half,
        discordant=sum(v > 0 for v in variances) / rows,
    )


def without_parity(found: Difference, alpha: float) -> Difference:
    """The same difference where the margin is below the noise, so that parity means nothing."""
    return worded(replace(found, parity=None), alpha)


def spread(latencies: Sequence[float]) -> list[float]:
    """At most 101 quantiles: enough to draw the distribution, whatever the number of rows."""
    ordered = sorted(latencies)
    if len(ordered) <= _LATENCIES:
        return ordered
    return [resampling.quantile(ordered, i / (_LATENCIES - 1)) for i in range(_LATENCIES)]


def reason(found: Difference, plan: Plan, noise: Noise | None) -> str:
    """One sentence on why the verdict is what it is."""
    points = f"{100 * found.diff:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    named = {plan.source: "the source", plan.baseline: "the baseline named"}
    role = named.get(found.baseline, "its best baseline")
    unit = "rows" if found.decided_by == found.n else "groups"
    words = {
        Word.IMPROVED: f"better beyond chance, p {found.p_holm:.2g}",
        Word.DEGRADED: f"worse beyond chance, p {found.p_holm:.2g}",
        Word.PARITY: _parity(found, plan),
        Word.INCONCLUSIVE: f"these {found.decided_by:,} {unit} do not decide; {_needed(found, plan)}",
        Word.TOO_FEW: f"fewer than ten {unit} decide nothing; {_needed(found, plan)}",
    }
    said = words[found.verdict]
    if found.verdict is Word.INCONCLUSIVE and plan.margin is not None:
        said = _open_parity(found, plan, noise)
    return f"{found.candidate} against {found.baseline}, {role}: {points}; {said}."


def _needed(found: Difference, plan: Plan) -> str:
    rows = adequacy.rows_for(found, alpha=plan.alpha)
    return f"{adequacy.about(rows)} find {100 * adequacy.WANTED:g} points (80 % power)"


def _parity(found: Difference, plan: Plan) -> str:
    margin = 100 * (plan.margin or 0.0)
    if found.parity is not None and found.parity.equivalent:
        return f"equivalent within {margin:.1f} points, both ways (TOST)"
    return f"not worse by {margin:.1f} points or more"


def _open_parity(found: Difference, plan: Plan, noise: Noise | None) -> str:
    margin = plan.margin or 0.0
    if noise is not None and margin < noise.floor:
        return (
            f"the margin of {100 * margin:.1f} points is below the noise of {noise.arm} asked "
            f"twice (±{100 * noise.floor:.1f}), so parity cannot be judged"
        )
    open_ = f"a loss of {100 * margin:.1f} points is neither shown nor refuted"
    if found.parity is None:
        return f"{open_}; {_needed(found, plan)}"
    rows = adequacy.rows_for_parity(found, margin, alpha=plan.alpha)
    return f"{open_}; {adequacy.about(rows)} would if both are equal (80 % power), these are {found.n:,}"
