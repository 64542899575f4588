"""What an invoice says of a job whose provider told no amount: the ledger takes a person's word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.domain.money.spending import SpendingState
from orchestrator.domain.money.usd import exact_money, micros

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from orchestrator.domain.money.spending import Spending, Spendings

# How the note of an amount begins that a person entered; such an amount may be entered again.
_BY_HAND = "invoiced"


def settle_invoiced(
    job_id: str, usd: Decimal, note: str, spendings: Spendings, now: datetime
) -> Spending:
    """Take an amount from an invoice in place of a reservation that nobody settled.

    Args:
        job_id: whose spending; it must have ended without an amount.
        usd: dollars, 0 or more.
        note: where the amount stands: a number of an invoice, for those who read the ledger.
        spendings: the ledger of money.
        now: when it is entered.

    Raises:
        UsageError: nothing of this job waits for an amount.
    """
    of_job = spendings.of_job(job_id)
    before = _waiting(of_job)
    if before is None:
        raise UsageError(_why_not(job_id, of_job), hint="ftctl costs --month all")
    said = f"{_BY_HAND}: {note}" if note else f"{_BY_HAND}, no note"
    after = replace(
        before,
        state=SpendingState.ACTUAL,
        actual=micros(usd),
        note=said,
        updated_at=now,
    )
    spendings.change(after)
    return after


def _waiting(of_job: Sequence[Spending]) -> Spending | None:
    """The spending without an amount; else the newest one whose amount a person entered."""
    unclear = [each for each in of_job if each.state is SpendingState.UNCLEAR]
    by_hand = [each for each in of_job if each.note.startswith(_BY_HAND)]
    return next(iter(unclear), None) or (by_hand[-1] if by_hand else None)


def _why_not(job_id: str, of_job: Sequence[Spending]) -> str:
    if not of_job:
        return f"Job {job_id} has no spending in the ledger."
    last = of_job[-1]
    if last.state is SpendingState.RESERVED:
        return f"Job {job_id} is not over; its money is settled when it is."
    if last.state is SpendingState.RELEASED:
        return f"Nothing was billed for job {job_id}: {last.note}."
    return f"Job {job_id} came to {exact_money(last.actual or 0)} already: {last.note}."
