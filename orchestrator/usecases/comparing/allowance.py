"""What one evaluation may spend of the month's budgets: reserved before, counted while, settled after.

Before a call leaves, the most it can cost is covered by a committed reservation, and so are the
calls that are under way with it. A run holds a lock; whose lock is free has died, and what it
reserved is given back, less what it paid.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.domain import failpoints
from orchestrator.domain.errors import BudgetExceeded, Unpriced
from orchestrator.domain.ids import new_id
from orchestrator.domain.money.spending import (
    Budgets,
    Purpose,
    Spending,
    SpendingState,
    abandoned,
    month_of,
)
from orchestrator.domain.money.usd import micros, micros_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.money.spending import Spendings

# A reservation that must grow grows by a quarter, so that it grows seldom.
_GROWTH = Decimal("1.25")


@dataclass(frozen=True, kw_only=True)
class Vault:
    """Where money is reserved.

    Attributes:
        claim: a lock between processes, by name; yields whether it is ours.
    """

    spendings: Spendings
    budgets: Budgets
    clock: Clock
    claim: Callable[[str], AbstractContextManager[bool]]


@dataclass(kw_only=True)
class Allowance:
    """The reservations of one run, one for each profile that bills it.

    Attributes:
        run: its name, and its lock's.
        subject: what is asked, for people.
        allow_unpriced: ask an arm without a price although a budget cannot hold it then.
    """

    vault: Vault
    run: str
    subject: str
    job_id: str | None = None
    allow_unpriced: bool = False
    _held: dict[str, Spending] = field(default_factory=dict)

    @property
    def is_limited(self) -> bool:
        """Whether any budget is set."""
        budgets = self.vault.budgets
        return budgets.overall is not None or bool(budgets.by_profile)

    def open(self, profile: str, usd: Decimal) -> None:
        """Reserve what the run is expected to cost there.

        Raises:
            BudgetExceeded: it does not fit into what is left of the month.
        """
        spending = self._spending(profile)
        wanted = micros_up(usd)
        self._reserve(replace(spending, reserved=wanted, estimate=wanted))

    def cover(self, profile: str, paid: Decimal, at_risk: Decimal | None) -> None:
        """Make sure that a call may leave: all that is under way with it is reserved.

        Args:
            profile: who bills it.
            paid: dollars paid there so far.
            at_risk: the most that it and the calls under way can cost; None when unpriced.

        Raises:
            BudgetExceeded, Unpriced: it must not leave.
        """
        if at_risk is None:
            self._cover_unpriced(profile)
            return
        spending = self._spending(profile)
        needed, risk = micros_up(paid + at_risk), micros_up(at_risk)
        enough = needed <= (spending.reserved or 0)
        if enough and risk <= spending.under_way:
            return
        # Twice the risk, so that it is seldom written: it must be on disk before the call leaves.
        under_way = spending.under_way if risk <= spending.under_way else 2 * risk
        spending = replace(spending, under_way=under_way, actual=micros(paid))
        if enough:
            self._reserve(spending)
            return
        try:
            self._reserve(replace(spending, reserved=micros_up(needed * _GROWTH / 1_000_000)))
        except BudgetExceeded:
            self._reserve(replace(spending, reserved=needed))

    def paid(self, profile: str, usd: Decimal, *, unpriced: bool = False) -> None:
        """Write down what was paid there so far, before the answers that were paid for are kept."""
        spending = self._held.get(profile)
        if spending is None:
            return
        note = "some calls have no price" if unpriced else spending.note
        self._change(replace(spending, actual=micros(usd), note=note))
        failpoints.reach("compare.metered")

    def close(self) -> None:
        """What was paid replaces what was reserved."""
        for spending in list(self._held.values()):
            self._change(replace(spending, state=_state_at_end(spending)))
            failpoints.reach("compare.settled")

    def _cover_unpriced(self, profile: str) -> None:
        if self.vault.budgets.covers(profile) and not self.allow_unpriced:
            raise Unpriced(
                f"The budget of '{profile}' cannot be held: an arm has no price in the price file.",
                hint="leave out that arm, or --allow-unpriced",
            )
        if profile not in self._held:
            self._reserve(replace(self._spending(profile), note="unpriced"))

    def _spending(self, profile: str) -> Spending:
        if profile in self._held:
            return self._held[profile]
        now = self.vault.clock.now()
        return Spending(
            id=f"{self.run}-{len(self._held)}",
            purpose=Purpose.EVALUATION,
            profile=profile,
            month=month_of(now),
            job_id=self.job_id,
            subject=self.subject,
            created_at=now,
            updated_at=now,
        )

    def _reserve(self, spending: Spending) -> None:
        spending = replace(spending, updated_at=self.vault.clock.now())
        self.vault.spendings.reserve(spending, self.vault.budgets)
        self._held[spending.profile] = spending
        failpoints.reach("compare.reserved")

    def _change(self, spending: Spending) -> None:
        spending = replace(spending, updated_at=self.vault.clock.now())
        self.vault.spendings.change(spending)
        self._held[spending.profile] = spending


@contextmanager
def allowance(
    vault: Vault, *, subject: str, job_id: str | None = None, allow_unpriced: bool = False
) -> Iterator[Allowance]:
    """An allowance for as long as the block runs, settled however it ends."""
    release_dead(vault)
    run = new_id()
    with vault.claim(_lock(run)):
        held = Allowance(
            vault=vault, run=run, subject=subject, job_id=job_id, allow_unpriced=allow_unpriced
        )
        try:
            yield held
        finally:
            held.close()


def release_dead(vault: Vault) -> int:
    """Give back what evaluations reserved that have died; returns how many reservations.

    Who holds the lock of a run is alive; a lock that is free is read again once it is ours, for
    its run may have ended well in between.
    """
    released = 0
    for run in {_run(spending) for spending in vault.spendings.open(Purpose.EVALUATION)}:
        with vault.claim(_lock(run)) as ours:
            if not ours:
                continue
            for spending in vault.spendings.open(Purpose.EVALUATION):
                if _run(spending) == run:
                    vault.spendings.change(abandoned(spending, vault.clock.now()))
                    released += 1
    return released


def _state_at_end(spending: Spending) -> SpendingState:
    if spending.actual:
        return SpendingState.ACTUAL
    # Calls without a price leave nothing to count, and that is not nothing.
    return SpendingState.UNCLEAR if spending.reserved is None else SpendingState.RELEASED


def _run(spending: Spending) -> str:
    return spending.id.partition("-")[0]


def _lock(run: str) -> str:
    return f"spending-{run}"
