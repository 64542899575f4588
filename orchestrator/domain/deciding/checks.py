"""Checks of quality and its alternatives, and `measure`, which runs all checks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.deciding.checklist import Measured, Status
from orchestrator.domain.deciding.cost_checks import COST_CHECKS, rows_wanted
from orchestrator.domain.deciding.migration_checks import MIGRATION_CHECKS, parity_of
from orchestrator.domain.money.bill import SELF_HOSTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.domain.comparing.comparison import ArmResult, Comparison
    from orchestrator.domain.deciding.evidence import Evidence


def measure(evidence: Evidence) -> dict[str, Measured]:
    """A finding for each criterion that can be measured now; the others are left out."""
    found = {
        name: check(evidence)
        for name, check in {**_CHECKS, **COST_CHECKS, **MIGRATION_CHECKS}.items()
    }
    return {
        name: _with_floor(name, measured, evidence)
        for name, measured in found.items()
        if measured is not None
    }


def _with_floor(name: str, found: Measured, e: Evidence) -> Measured:
    """Few rows rule nothing out: what would fail on them is not known yet."""
    if found.status is not Status.FAIL or name not in _BY_ROWS or e.comparison is None:
        return found
    decisive, floor = e.comparison.decisive, int(e.policy["fewest_test_rows"])
    if decisive.decided_by >= floor:
        return found
    unit = "rows" if decisive.decided_by == decisive.n else "groups"
    few = f"{decisive.decided_by} {unit} rule nothing out, under {floor}; {rows_wanted(e)}"
    return Measured(Status.UNKNOWN, f"{found.evidence}; {few}", found.source)


def _metric(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    missing = max(arm.missing for arm in e.comparison.arms)
    rows = e.comparison.arms[0].n
    status = Status.PASS if missing <= 0.01 * (rows + missing) else Status.FAIL
    return Measured(status, f"{e.comparison.metric} on {rows} rows, {missing} missing", e.source)


def _failures(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    best = e.comparison.arm(e.comparison.best_baseline)
    failures = round(best.n * (1 - best.metrics[e.comparison.metric]))
    enough = failures >= e.policy["failures"]
    text = f"{failures} failures of {best.name} to read"
    return Measured(Status.PASS if enough else Status.FAIL, text, e.source)


def _prompt(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    arms = _rivals(e.comparison)
    shown = ", ".join(f"{a.name} {_points(a.metrics[e.comparison.metric])}" for a in arms)
    wanted = int(e.policy["prompt_variants"])
    text = f"{len(arms)} of {wanted} variants: {shown}"
    best = e.comparison.arm(e.comparison.best_baseline)
    if best.misses_the_point:
        lost = f"{best.outside} of {best.n} answers of {best.name} are none of the labels"
        return Measured(Status.UNKNOWN, f"{text}; {lost}, so no prompt was a rival yet", e.source)
    status = Status.PASS if len(arms) >= wanted else Status.UNKNOWN
    return Measured(status, text, e.source)


def _successor(e: Evidence) -> Measured | None:
    if e.job is None:
        return None
    if e.job.kind in SELF_HOSTED and not _hosted_elsewhere(e):
        return Measured(Status.NOT_APPLICABLE, "the base is chosen by whoever hosts it")
    if e.comparison is None:
        return None
    own = _base_of(e.job.model)
    others = [a for a in _rivals(e.comparison) if _base_of(a.model) != own]
    if not others:
        return Measured(Status.UNKNOWN, "only the job's own base was measured", e.source)
    best = max(others, key=lambda a: a.metrics[e.metric])
    return Measured(Status.PASS, f"{best.model} {_points(best.metrics[e.metric])}", e.source)


def _hosted_elsewhere(e: Evidence) -> bool:
    arms = e.comparison.arms if e.comparison else ()
    return any(arm.kind not in {"", "classical", *SELF_HOSTED} for arm in arms)


def _rivals(comparison: Comparison) -> list[ArmResult]:
    """Baselines that a prompt makes: not a second asking, not the source, not a classifier."""
    return [
        arm
        for arm in comparison.arms
        if not arm.candidate
        and arm.again is None
        and arm.name != comparison.source
        and arm.kind != "classical"
        and not arm.name.startswith("recorded:")
    ]


def _base_of(model: str) -> str:
    return model.removeprefix("ft:").split(":")[0]


def _rag(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    found = [arm for arm in e.comparison.arms if "rag:" in arm.name]
    if not found:
        return None
    shown = ", ".join(f"{a.name} {_points(a.metrics[e.metric])}" for a in found)
    return Measured(Status.PASS, shown, e.source)


def _headroom(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    best, noise = e.comparison.arm(e.comparison.best_baseline), e.comparison.noise
    left = 1 - best.intervals[e.comparison.metric][1]
    wanted = e.policy["min_effect"] + (noise.floor if noise else 0.0)
    said = f", of which A/A noise {100 * noise.floor:.1f}" if noise else ", A/A noise not measured"
    text = f"{best.name} leaves {100 * left:.1f} points open (needed {100 * wanted:.1f}{said})"
    if left >= wanted:
        return Measured(Status.PASS, text, e.source)
    # Only an interval that excludes headroom is a no; between its ends the rows do not decide.
    most = 1 - best.intervals[e.comparison.metric][0]
    if most < wanted:
        return Measured(Status.FAIL, f"{text}; at most {100 * most:.1f}", e.source)
    return Measured(
        Status.UNKNOWN, f"{text}; it may be {100 * most:.1f}: {rows_wanted(e)}", e.source
    )


def _quality(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    found = e.comparison.best
    text = (
        f"{100 * found.diff:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}] over "
        f"{found.baseline}, p {found.p_holm:.2g}, won {found.won}, lost {found.lost}"
    )
    if found.verdict is Word.TOO_FEW:
        return Measured(Status.UNKNOWN, f"{text}; too few rows: {rows_wanted(e)}", e.source)
    if found.verdict is Word.IMPROVED:
        return Measured(Status.PASS, text, e.source)
    if found.high < e.policy["min_effect"]:
        useful = f"a gain of {100 * e.policy['min_effect']:.1f} points is excluded"
        return Measured(Status.FAIL, f"{text}; {useful}", e.source)
    return Measured(Status.UNKNOWN, f"{text}; these rows do not decide: {rows_wanted(e)}", e.source)


def _noninferior(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    test = e.comparison.best.parity
    if test is None:
        return Measured(Status.NOT_APPLICABLE, "no margin against it was fixed before the run")
    return parity_of(e, e.comparison.best, test)


def _slices(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    if not e.comparison.slices:
        return Measured(Status.NOT_APPLICABLE, "the rows name no slices", e.source)
    worse = [
        s
        for s in e.comparison.slices
        if s.verdict is Word.DEGRADED and -s.diff > e.policy["max_slice_drop"]
    ]
    if not worse:
        return Measured(
            Status.PASS, f"none of {len(e.comparison.slices)} slices is worse", e.source
        )
    shown = ", ".join(f"{s.slice} {100 * s.diff:+.1f}" for s in worse)
    return Measured(Status.FAIL, f"worse beyond chance: {shown}", e.source)


def _tokens(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    found = e.comparison.best
    new, old = e.comparison.arm(found.candidate), e.comparison.arm(found.baseline)
    if old.prompt_tokens <= 0:
        return None
    change = new.prompt_tokens / old.prompt_tokens - 1
    text = (
        f"prompt {new.prompt_tokens:,.0f} against {old.prompt_tokens:,.0f} tokens ({change:+.0%})"
    )
    return Measured(Status.PASS if change <= 0 else Status.FAIL, text, e.source)


def _latency(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    arm = e.comparison.arm(e.comparison.decisive.candidate)
    text = f"p50 {1000 * arm.latency_p50:,.0f} ms, p95 {1000 * arm.latency_p95:,.0f} ms"
    promised = e.numbers.get("latency_slo_ms")
    if promised is None:
        return Measured(Status.UNKNOWN, f"{text}; no time is promised", e.source)
    status = Status.PASS if 1000 * arm.latency_p95 <= promised else Status.FAIL
    return Measured(status, f"{text} (promised {promised:,.0f} ms)", e.source)


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


# Criteria that rest on how the rows came out, and that few rows cannot settle.
_BY_ROWS = frozenset(
    {
        "uc.metric",
        "alt.headroom",
        "ben.quality",
        "ben.cost_noninferior",
        "ben.cost",
        "mig.parity",
    }
)
_CHECKS: Mapping[str, Callable[[Evidence], Measured | None]] = {
    "uc.metric": _metric,
    "uc.failures": _failures,
    "alt.prompt": _prompt,
    "alt.successor": _successor,
    "alt.rag": _rag,
    "alt.headroom": _headroom,
    "ben.quality": _quality,
    "ben.cost_noninferior": _noninferior,
    "ben.slices": _slices,
    "ben.tokens": _tokens,
    "ben.latency": _latency,
}
