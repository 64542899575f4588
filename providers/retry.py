"""The one policy for repeating what is safe to repeat. Creating a job never comes here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import RateLimited, TryLater

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

Answer = TypeVar("Answer")

_BACKOFF = wait_random_exponential(0.5, max=20)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Full jitter, few tries, and the provider's own wish where it names one.

    Attributes:
        attempts: how often at most, the first time included.
        patience: seconds after which nothing is tried again, and the longest `Retry-After`
            that is waited for; a longer one is the caller's to schedule.
        sleep: what waits, in seconds.
    """

    attempts: int = 3
    patience: float = 30.0
    sleep: Callable[[float], None] = field(default_factory=lambda: SystemClock().sleep)

    def __call__(self, call: Callable[[], Answer]) -> Answer:
        """Call until it answers, says no, or the patience is at its end.

        Raises:
            TryLater: the last one, when every attempt ended so.
        """
        policy = Retrying(
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.patience),
            wait=_pause,
            retry=retry_if_exception(self._is_worth_it),
            sleep=self.sleep,
            reraise=True,
        )
        return policy(call)

    def _is_worth_it(self, error: BaseException) -> bool:
        if isinstance(error, RateLimited):
            return (error.retry_after or 0.0) <= self.patience
        return isinstance(error, TryLater)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    wished = error.retry_after if isinstance(error, RateLimited) else None
    return _BACKOFF(state) if wished is None else wished
