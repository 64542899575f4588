"""What asking costs: an estimate before, what was paid so far, and a limit that holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain.bill import FREE
from orchestrator.domain.errors import AnswerIsNo, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.domain.arm import Arm
    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.prices import PriceBook

# A token is about four bytes of English, and hardly ever less than two bytes of anything.
_USUAL_BYTES, _LEAST_BYTES = 4, 2
_PER_MESSAGE = 8


@dataclass
class Till:
    """Counts the money of one run.

    Attributes:
        book: the prices; without it nothing is priced.
        kind: of the job's own provider, for arms that name none.
        limit: dollars that may be spent; None for no limit.
        spent: dollars paid so far; `unpriced` calls that have no price.
        asked: calls that were sent.
    """

    book: PriceBook | None = None
    kind: str = ""
    limit: float | None = None
    spent: float = 0.0
    unpriced: int = 0
    asked: int = 0
    _reserved: dict[str, float] = field(default_factory=dict)

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

    def admits(self, key: str, arm: Arm, request: ChatRequest) -> bool:
        """Whether a call may be sent, at the most it can cost; reserves that if so."""
        if self.limit is None or self.is_free(arm):
            return True
        worst = self.price(arm, _tokens(request, _LEAST_BYTES), 0.0, float(request.max_tokens))
        if worst is None or self.spent + sum(self._reserved.values()) + worst > self.limit:
            return False
        self._reserved[key] = worst
        return True

    def settle(self, key: str, arm: Arm, answer: ChatAnswer | None) -> None:
        """A call has landed: what it cost replaces what was reserved."""
        reserved = self._reserved.pop(key, 0.0)
        self.asked += 1
        if answer is None:
            # It may have been billed all the same; a limit that holds counts it as if it was.
            self.spent += reserved
            return
        usd = self.price(arm, answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens)
        if usd is None:
            self.unpriced += 1
        self.spent += usd or 0.0

    def exhausted(self) -> AnswerIsNo:
        """The error for a run that the limit ends."""
        return AnswerIsNo(
            f"The next call could exceed --max-cost {self.limit:g}: ${self.spent:.4f} are spent "
            f"on {self.asked} calls, whose answers are kept.",
            hint="the same command with a higher --max-cost goes on and repeats no paid call",
        )


def _tokens(request: ChatRequest, bytes_a_token: int) -> float:
    said = sum(
        len(json.dumps(message.get("content"), ensure_ascii=False).encode("utf-8", "replace"))
        for message in request.messages
    )
    tools = len(json.dumps(list(request.tools))) if request.tools else 0
    return (said + tools) / bytes_a_token + _PER_MESSAGE * len(request.messages)
