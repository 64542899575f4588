"""What asking costs: an estimate before, what was paid so far, and a limit that holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.domain.errors import AnswerIsNo, BudgetExceeded, FtctlError, Unpriced, UsageError
from orchestrator.domain.money.bill import FREE
from orchestrator.domain.money.usd import decimal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.comparing.arm import Arm
    from orchestrator.domain.money.prices import PriceBook
    from orchestrator.usecases.comparing.allowance import Allowance

# A token is about four bytes of English, and hardly ever less than two bytes of anything.
_USUAL_BYTES, _LEAST_BYTES = 4, 2
_PER_MESSAGE = 8


@dataclass
class Till:
    """Counts the money of one run.

    Attributes:
        book: the prices; without it nothing is priced.
        kind: of the job's own provider, for arms that name none.
        profile: of the job's own provider, which pays for those arms.
        limit: dollars that may be spent; None for no limit.
        allowance: what may be spent of the budgets; None where nothing is reserved.
        unpriced: calls that have no price.
        asked: calls that were sent.
    """

    book: PriceBook | None = None
    kind: str = ""
    profile: str = ""
    limit: float | None = None
    allowance: Allowance | None = None
    unpriced: int = 0
    asked: int = 0
    _paid: dict[str, Decimal] = field(default_factory=dict)
    _held: dict[str, tuple[str, Decimal]] = field(default_factory=dict)
    _refusal: FtctlError | None = None

    @property
    def spent(self) -> float:
        """Dollars paid so far."""
        return float(self._spent)

    @property
    def is_limited(self) -> bool:
        """Whether anything keeps this run from spending."""
        return self.limit is not None or (self.allowance is not None and self.allowance.is_limited)

    @property
    def known(self) -> float | None:
        """What was paid; None when some of it has no price."""
        return None if self.unpriced else self.spent

    def price(self, arm: Arm, prompt: float, cached: float, completion: float) -> float | None:
        """Dollars for one request to an arm; None when it has no price."""
        return 0.0 if arm.free else self.worth(arm, prompt, cached, completion)

    def worth(self, arm: Arm, prompt: float, cached: float, completion: float) -> float | None:
        """The same as if it was asked now, also where it answers from a recording."""
        kind = arm.kind or self.kind
        if kind in FREE:
            return 0.0
        if self.book is None:
            return None
        return self.book.request_cost(
            provider=kind,
            model=arm.priced_as or arm.model,
            prompt=prompt,
            cached=cached,
            completion=completion,
        ).usd

    def is_free(self, arm: Arm) -> bool:
        """Whether asking the arm sends no bill."""
        return arm.free or (arm.kind or self.kind) in FREE

    def estimate(self, calls: Iterable[tuple[Arm, ChatRequest, str]]) -> float | None:
        """What calls will cost, roughly: four bytes a token, answers as long as the references.

        Args:
            calls: arm, request, and the reference of its sample.
        """
        total = 0.0
        for arm, request, reference in calls:
            answer = len(reference.encode()) / _USUAL_BYTES + 1
            usd = self.price(arm, _tokens(request, _USUAL_BYTES), 0.0, answer)
            if usd is None:
                return None
            total += usd
        return total

    def refuse(self, estimate: float | None) -> None:
        """Say no before the first call.

        Raises:
            UsageError: the estimate exceeds the limit, or a price is missing.
        """
        if self.limit is None:
            return
        if estimate is None:
            raise UsageError(
                "--max-cost cannot hold: an arm has no price in the price file.",
                hint="leave out --max-cost, or that arm",
            )
        if estimate > self.limit:
            raise UsageError(
                f"This run would cost about ${estimate:.4f}, more than --max-cost "
                f"{self.limit:g}; nothing was asked.",
                hint=f"--max-cost {1.2 * estimate:.4f}, or fewer rows with --limit",
            )

    def open(self, expected: Mapping[str, float]) -> None:
        """Reserve what a run will cost, by profile, before its first call.

        Raises:
            BudgetExceeded: it does not fit into what is left of the month; nothing was asked.
        """
        if self.allowance is None:
            return
        # What someone allowed is reserved whole, where one account pays it all.
        whole = self.limit is not None and len(expected) == 1
        for profile, usd in expected.items():
            wanted = self.limit if whole and self.limit is not None else usd
            self.allowance.open(profile, decimal_of(wanted))

    def payer(self, arm: Arm) -> str:
        """The profile that an arm is billed to."""
        return arm.provider or self.profile

    def admits(self, key: str, arm: Arm, request: ChatRequest) -> bool:
        """Whether a call may be sent, at the most it can cost; reserves that if so."""
        if self.is_free(arm) or (self.limit is None and self.allowance is None):
            return True
        usd = self.price(arm, _tokens(request, _LEAST_BYTES), 0.0, float(request.max_tokens))
        worst = None if usd is None else decimal_of(usd)
        if not self._within_limit(worst) or not self._within_budget(self.payer(arm), worst):
            return False
        self._held[key] = self.payer(arm), worst or Decimal(0)
        return True

    def settle(self, key: str, arm: Arm, answer: ChatAnswer | None) -> None:
        """A call has landed: what it cost replaces what was reserved."""
        payer, held = self._held.pop(key, (self.payer(arm), Decimal(0)))
        self.asked += 1
        # A failed call may have been billed all the same; a limit that holds counts it so.
        usd: float | None = float(held) if self.is_limited else 0.0
        if answer is not None:
            used = answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens
            usd = self.price(arm, *used)
        self.unpriced += usd is None
        self._paid[payer] = self._paid.get(payer, Decimal(0)) + decimal_of(usd or 0)
        if self.allowance is not None and not self.is_free(arm):
            self.allowance.paid(payer, self._paid[payer], unpriced=usd is None)

    def exhausted(self) -> AnswerIsNo:
        """The error for a run that the limit, or a budget, ends."""
        kept = f"${self.spent:.4f} are spent on {self.asked} calls, whose answers are kept."
        if self._refusal is not None:
            return BudgetExceeded(f"{self._refusal.message} {kept}", hint=self._refusal.hint)
        return AnswerIsNo(
            f"The next call could exceed --max-cost {self.limit:g}: {kept}",
            hint="the same command with a higher --max-cost goes on and repeats no paid call",
        )

    @property
    def _spent(self) -> Decimal:
        return sum(self._paid.values(), Decimal(0))

    def _within_limit(self, worst: Decimal | None) -> bool:
        if self.limit is None:
            return True
        held = sum((usd for _, usd in self._held.values()), Decimal(0))
        return worst is not None and self._spent + held + worst <= decimal_of(self.limit)

    def _within_budget(self, payer: str, worst: Decimal | None) -> bool:
        if self.allowance is None:
            return True
        held = sum((usd for profile, usd in self._held.values() if profile == payer), Decimal(0))
        paid = self._paid.get(payer, Decimal(0))
        try:
            self.allowance.cover(payer, paid, None if worst is None else held + worst)
        except (BudgetExceeded, Unpriced) as error:
            self._refusal = error
            return False
        return True


def _tokens(request: ChatRequest, bytes_a_token: int) -> float:
    said = sum(
        len(json.dumps(message.get("content"), ensure_ascii=False).encode("utf-8", "replace"))
        for message in request.messages
    )
    tools = len(json.dumps(list(request.tools))) if request.tools else 0
    return (said + tools) / bytes_a_token + _PER_MESSAGE * len(request.messages)
