"""What an intent may cost, held against what was allowed, and the reservation it is written with."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from orchestrator.domain.errors import Unpriced
from orchestrator.domain.ids import new_id
from orchestrator.domain.money.spending import Purpose, Spending, month_of

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.money.spending import Budgets, Spendings
    from orchestrator.usecases.jobs.intent import Intent


def refuse_dear(intent: Intent, budgets: Budgets) -> None:
    """Hold an estimate against --max-cost, and a budget against what nobody knows.

    Raises:
        TooDear: it may cost more than --max-cost.
        Unpriced: nobody knows what it may cost, and a limit is to be held.
    """
    estimate = intent.estimate
    if estimate is None:
        return
    estimate.must_not_exceed(intent.max_cost, allow_unpriced=intent.allow_unpriced)
    unknown = estimate.high is None and intent.max_cost is None
    if unknown and budgets.covers(intent.provider) and not intent.allow_unpriced:
        raise Unpriced(
            f"The budget of '{intent.provider}' cannot be held, for the cost is {estimate.note};"
            " nothing was sent.",
            hint="--allow-unpriced with --max-cost USD reserves that much",
        )


def refuse_over_budget(
    intent: Intent, spendings: Spendings, budgets: Budgets, now: datetime
) -> None:
    """Say what `record` would say as the month stands, and write nothing: for rehearsals.

    Raises:
        BudgetExceeded, Unpriced: `record` would refuse it.
    """
    refuse_dear(intent, budgets)
    spending = spending_of(intent, now)
    if spending is None or not budgets.covers(intent.provider):
        return
    taken: dict[str, int] = defaultdict(int)
    for each in spendings.all(spending.month):
        taken[each.profile] += each.counted
    budgets.check(spending, taken)


def spending_of(intent: Intent, at: datetime, job_id: str | None = None) -> Spending | None:
    """What a job may come to; where nobody knows, what someone said it may."""
    estimate = intent.estimate
    if estimate is None:
        return None
    return Spending(
        id=new_id(),
        purpose=Purpose.TRAINING,
        profile=intent.provider,
        month=month_of(at),
        job_id=job_id,
        subject=intent.model,
        reserved=intent.max_cost if estimate.high is None else estimate.high,
        estimate=estimate.likely,
        rate=estimate.rate,
        note=estimate.note,
        created_at=at,
        updated_at=at,
    )
