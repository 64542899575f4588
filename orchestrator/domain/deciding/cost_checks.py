"""Checks of data, lifetime, power and money. Pure: values in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.comparing.adequacy import about, rows_for
from orchestrator.domain.deciding.checklist import Measured, Status
from orchestrator.domain.deciding.evidence import loss_curves
from orchestrator.domain.jobs.lifecycle import WARN_DAYS
from orchestrator.domain.money.bill import SELF_HOSTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.domain.deciding.evidence import Evidence

_FEWEST_OF_A_LABEL = 20
_LEAST_EFFECT = 0.001
_MOST_REPEATED, _MOST_CONFLICTING = 0.05, 0.02


def _tunable(e: Evidence) -> Measured | None:
    if e.job is None:
        return None
    if e.job.kind in SELF_HOSTED:
        return Measured(Status.PASS, "the weights are on a machine of one's own")
    if e.retirement is None:
        return None
    retires = e.retirement.serving_ends
    if retires is None:
        said = e.retirement.who_says("serving_ends")
        return Measured(Status.PASS, "no retirement is announced", f"{said.origin}: {said.source}")
    days = (retires - e.today).days
    wanted = e.numbers.get("horizon_months", e.policy["horizon_months"])
    status = Status.PASS if days >= wanted * 365.25 / 12 else Status.FAIL
    text = f"models tuned from {e.retirement.model} retire on {retires}, in {days} days"
    if days <= WARN_DAYS:
        named = e.retirement.replacement
        text += "; prepare what comes after" + (f" ({named} is named instead)" if named else "")
    said = e.retirement.who_says("serving_ends")
    return Measured(status, text, f"{said.origin}: {said.source}, read {said.read_on}")


def _data_n(e: Evidence) -> Measured | None:
    if e.data is None:
        return None
    few = e.data.unique < e.policy["fewest_rows"]
    text = f"{e.data.unique} different rows of {e.data.rows}"
    if not few and e.data.unique < e.policy["enough_rows"]:
        text += f"; under {e.policy['enough_rows']:.0f}, so more rows may still help"
    return Measured(Status.FAIL if few else Status.PASS, text, f"dataset {e.data.digest[:12]}")


def _data_quality(e: Evidence) -> Measured | None:
    if e.data is None or e.data.rows == 0:
        return None
    repeated = 1 - e.data.unique / e.data.rows
    conflicting = e.data.conflicting / e.data.rows
    leaked = e.comparison.leaked if e.comparison else 0
    kept = e.comparison is not None and e.comparison.leakage_allowed and leaked > 0
    near = e.comparison.near_leaked if e.comparison else 0
    alike = e.comparison is not None and not e.comparison.near_dropped and near > 0
    many = e.comparison is not None and alike and near >= _MOST_REPEATED * e.comparison.arms[0].n
    bad = repeated >= _MOST_REPEATED or conflicting >= _MOST_CONFLICTING or kept or many
    how = "kept" if kept else "left out"
    leak = f"{leaked} test rows in training, {how}" if leaked else "no test row in training"
    if near:
        leak += f", {near} nearly, {'kept' if alike else 'left out'}"
    text = f"repeated {repeated:.1%}, conflicting {conflicting:.1%}, {leak}"
    return Measured(Status.FAIL if bad else Status.PASS, text, f"dataset {e.data.digest[:12]}")


def _slice_cover(e: Evidence) -> Measured | None:
    if e.data is None:
        return None
    if not e.data.labels:
        return Measured(Status.NOT_APPLICABLE, "the answers are not labels")
    thin = {name: n for name, n in e.data.labels.items() if n < _FEWEST_OF_A_LABEL}
    if not thin:
        least = min(e.data.labels.values())
        return Measured(Status.PASS, f"{len(e.data.labels)} labels, each at least {least} rows")
    shown = ", ".join(f"{name} {n}" for name, n in sorted(thin.items())[:5])
    return Measured(Status.FAIL, f"under {_FEWEST_OF_A_LABEL} training rows: {shown}")


def _eval_n(e: Evidence) -> Measured | None:
    if e.comparison is None:
        return None
    wanted = e.numbers.get("wanted_effect_points", 100 * e.policy["wanted_effect"])
    found = e.comparison.detectable
    shown = "no difference" if found is None else f"differences from {100 * found:.1f} points"
    text = f"{e.comparison.decisive.n} rows find {shown} (wanted {wanted:.1f})"
    if found is not None and 100 * found <= wanted:
        return Measured(Status.PASS, text, e.source)
    if e.comparison.verdict.passes is not None:
        return Measured(Status.PASS, f"{text}, and the difference seen is decided", e.source)
    return Measured(Status.UNKNOWN, f"{text}; {rows_wanted(e)}", e.source)


def rows_wanted(e: Evidence) -> str:
    """How many rows would find the effect that is wanted, in words."""
    if e.comparison is None:
        return ""
    wanted = e.numbers.get("wanted_effect_points", 100 * e.policy["wanted_effect"])
    effect = min(1.0, max(_LEAST_EFFECT, wanted / 100))
    rows = rows_for(e.comparison.decisive, effect, alpha=e.policy["alpha"])
    return f"{about(rows)} find {100 * effect:g} points"


def _compute(e: Evidence) -> Measured | None:
    lines = e.costs.unpriced
    if lines:
        return Measured(Status.UNKNOWN, "unpriced: " + ", ".join(lines))
    old = f"; {len(e.costs.old)} prices are older than 60 days" if e.costs.old else ""
    return Measured(Status.PASS, f"every line priced{old}")


def _effort(e: Evidence) -> Measured | None:
    amount = e.costs.effort
    if amount.usd is None:
        return None
    return Measured(Status.PASS, f"${amount.usd:,.0f} = {amount.note}", "answers")


def _volume(e: Evidence) -> Measured | None:
    if "requests_per_month" not in e.numbers or "error_cost" not in e.numbers:
        return None
    volume, worth = e.numbers["requests_per_month"], e.numbers["error_cost"]
    return Measured(Status.PASS, f"{volume:,.0f} requests a month, ${worth:g} an error", "answers")


def _money(e: Evidence) -> Measured | None:
    found = e.costs.business
    if found is None:
        if not e.costs.missing:
            return None
        return Measured(Status.UNKNOWN, "missing: " + "; ".join(e.costs.missing))
    wanted, months = (
        e.policy["payback_chance"],
        min(int(e.policy["payback_months"]), e.costs.horizon),
    )
    payback = "never" if found.payback is None else f"{found.payback:.1f} months"
    text = (
        f"{_dollars(found.benefit)} a month, payback {payback}, "
        f"{found.payback_chance:.0%} within {months} months (quality interval only)"
    )
    if found.payback_chance >= wanted:
        return Measured(Status.PASS, text, "prices, answers")
    # Only an interval that excludes success is a no; between the two the rows do not decide.
    status = Status.FAIL if found.payback_chance <= 1 - wanted else Status.UNKNOWN
    return Measured(status, text, "prices, answers")


def _cost_only(e: Evidence) -> Measured | None:
    found = e.costs.business
    if found is None:
        return None
    status = Status.PASS if found.saving >= 0 else Status.FAIL
    return Measured(status, f"{_dollars(found.saving)} a month with quality left out", "prices")


def _overfit(e: Evidence) -> Measured | None:
    training, validation = loss_curves(e.points)
    if e.job is None or not training or not validation or training[-1].value <= 0:
        return None
    ratio = validation[-1].value / training[-1].value
    text = (
        f"validation {validation[-1].value:.3g} / training {training[-1].value:.3g} = {ratio:.3g}"
    )
    status = Status.PASS if ratio <= e.policy["overfit"] else Status.FAIL
    return Measured(status, text, f"job {e.job.id}")


def _dollars(usd: float) -> str:
    return f"{'-' if usd < 0 else '+'}${abs(usd):,.0f}"


COST_CHECKS: Mapping[str, Callable[[Evidence], Measured | None]] = {
    "cost.tunable": _tunable,
    "cost.data_n": _data_n,
    "cost.data_quality": _data_quality,
    "cost.slice_cover": _slice_cover,
    "cost.eval_n": _eval_n,
    "cost.compute": _compute,
    "cost.effort": _effort,
    "cost.volume": _volume,
    "ben.overfit": _overfit,
    "ben.cost": _money,
    "ben.cost_only": _cost_only,
}
