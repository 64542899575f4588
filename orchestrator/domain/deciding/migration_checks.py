"""Checks of parity with a source, of a judge, and of what comes after. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.deciding.checklist import Measured, Status
from orchestrator.domain.money.bill import SELF_HOSTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.domain.comparing.comparison import Difference, ParityTest
    from orchestrator.domain.deciding.evidence import Evidence

_COPIES = 0.999


def parity_of(e: Evidence, found: Difference, test: ParityTest) -> Measured:
    """What a parity test says, and whether its margin may be believed."""
    text = (
        f"{found.candidate} against {found.baseline} {100 * found.diff:+.1f}, margin "
        f"{100 * test.margin:.1f}, 90 % CI [{100 * test.low:+.1f}, {100 * test.high:+.1f}], "
        f"p {test.p:.2g}"
    )
    if e.comparison is not None and e.comparison.margin_after:
        text += (
            f"; these rows had a result ({e.comparison.margin_after}) before this margin was set"
        )
        return Measured(Status.UNKNOWN, text, e.source)
    if found.verdict is Word.TOO_FEW:
        return Measured(Status.UNKNOWN, f"{text}; too few rows", e.source)
    if test.p < e.policy["alpha"]:
        both = "; equivalent both ways (TOST)" if test.equivalent else ""
        return Measured(Status.PASS, text + both, e.source)
    if found.high < -test.margin:
        return Measured(Status.FAIL, f"{text}; a loss beyond the margin is shown", e.source)
    needed = e.comparison.parity_rows if e.comparison else None
    rows = f", {needed:,} rows would if both are equal" if needed else ""
    return Measured(Status.UNKNOWN, f"{text}; {found.n:,} rows do not decide{rows}", e.source)


def _parity(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    found = e.comparison.decisive
    if found.parity is None:
        why = "no margin was fixed before the run"
        if e.comparison.plan.get("margin") and e.comparison.noise:
            why = (
                f"the margin is below the A/A noise of {100 * e.comparison.noise.floor:.1f} points"
            )
        return Measured(Status.UNKNOWN, why, e.source)
    return parity_of(e, found, found.parity)


def _recorded(e: Evidence) -> Measured | None:
    if e.comparison is None or e.comparison.source is None:
        return None
    arm = e.comparison.arm(e.comparison.source)
    if not arm.name.startswith("recorded:"):
        return Measured(Status.UNKNOWN, f"{arm.name} answered live; nothing is frozen", e.source)
    needed = e.comparison.parity_rows
    text = f"{arm.n:,} answers of {arm.model}, {arm.note}"
    if needed is not None and arm.n < needed and e.comparison.verdict.passes is None:
        return Measured(Status.UNKNOWN, f"{text}; parity needs {needed:,}", e.source)
    return Measured(Status.PASS, text, e.source)


def _gold(e: Evidence) -> Measured | None:
    if e.comparison is None or e.comparison.source is None:
        return None
    arm = e.comparison.arm(e.comparison.source)
    right = arm.metrics[e.comparison.metric]
    if right >= _COPIES:
        text = f"{arm.name} scores {100 * right:.1f}: the references are its own answers"
        return Measured(Status.FAIL, f"{text}, so parity copies its mistakes", e.source)
    return Measured(Status.PASS, f"{arm.name} scores {100 * right:.1f} against them", e.source)


def _judge(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    found = e.comparison.judging
    if found is None:
        return Measured(Status.NOT_APPLICABLE, "no model judged")
    text = f"{found.model}: {found.flip_rate:.0%} of {found.judged:,} verdicts flip with the order"
    if found.judged and found.flip_rate > e.policy["judge_flip"]:
        return Measured(Status.FAIL, text, e.source)
    if found.labels < e.policy["judge_labels"] or found.kappa is None:
        few = f"a person judged {found.labels} of the {e.policy['judge_labels']:.0f} answers needed"
        return Measured(Status.FAIL, f"{text}; {few}", e.source)
    text += f", kappa {found.kappa:.2f} with a person on {found.labels}"
    agreed = found.kappa >= e.policy["judge_kappa"]
    return Measured(Status.PASS if agreed else Status.FAIL, text, e.source)


def _extend(e: Evidence) -> Measured | None:
    if e.job is None:
        return None
    if e.job.kind in SELF_HOSTED:
        text = "the adapter is a file of yours; further adapters share the same base and machine"
    else:
        text = f"the weights stay at {e.job.provider}; each tuned model is hosted by itself"
    return Measured(Status.PASS, text, f"job {e.job.id}")


MIGRATION_CHECKS: Mapping[str, Callable[[Evidence], Measured | None]] = {
    "ben.judge": _judge,
    "ben.extend": _extend,
    "mig.recorded": _recorded,
    "mig.parity": _parity,
    "mig.gold": _gold,
}
