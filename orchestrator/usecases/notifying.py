"""Telling others what happened to jobs, after a pass, for so many seconds and no longer.

At least once: what was sent and not written down is sent again, under the same id.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import failpoints
from orchestrator.domain.ids import new_id
from orchestrator.domain.jobs.notification import (
    LONGEST_PAUSE,
    PAUSES,
    Notification,
    Outcome,
    State,
    Subscriber,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.jobs.notification import Courier, Outbox

# What a pass of sync spends on it at most, whatever receivers do.
PATIENCE = 20.0
MOST_AT_ONCE = 8
MOST_EACH = 1000
_TOO_SHORT = 0.5
# For what ends at its last moment to be heard of.
_GRACE = 1.0


@dataclass
class Told:
    """What one round came to.

    Attributes:
        news: notifications that were written down.
        failures: those that were tried and not delivered, as they stand now.
    """

    news: int = 0
    delivered: int = 0
    failures: list[Notification] = field(default_factory=list)


class _Work(NamedTuple):
    """What one subscriber is to be told, in order."""

    to: Subscriber
    some: Sequence[Notification]


class _Try(NamedTuple):
    """One that was tried, and what came of it."""

    what: Notification
    outcome: Outcome


def notify(
    outbox: Outbox,
    subscribers: Sequence[Subscriber],
    courier: Courier,
    clock: Clock,
    *,
    patience: float = PATIENCE,
) -> Told:
    """Write down what is to be told, then tell what is due.

    Each subscriber is told by one thread, in order, and left for the next pass at its first
    failure: a dead receiver costs one try a pass, and delays no other.
    """
    told = Told(news=outbox.gather(subscribers, clock.now()))
    failpoints.reach("notify.gathered")
    names = [each.name for each in subscribers]
    waiting: dict[str, list[Notification]] = {}
    for what in outbox.due(names, clock.now(), MOST_EACH):
        waiting.setdefault(what.subscriber, []).append(what)
    if not waiting:
        return told
    by_name = {each.name: each for each in subscribers}
    work = [_Work(by_name[name], some) for name, some in waiting.items()]
    for each in _Round(courier, clock, patience).tries(work):
        _settle(each, by_name[each.what.subscriber], outbox, clock.now(), told)
    return told


def worth_saying(told: Told) -> Iterator[str]:
    """A line for each first failure and each last one; those between are in the ledger."""
    for what in told.failures:
        whom = f"{what.subscriber} was not told that {what.news}: {what.last}"
        if what.state is State.GIVEN_UP:
            yield f"{whom}; given up, `ftctl notifications retry {what.id}` tries again"
        elif what.attempts == 1:
            yield f"{whom}; it is tried again"


def probe(to: Subscriber, courier: Courier, clock: Clock) -> Outcome:
    """Send a notification about nothing, now."""
    now = clock.now()
    body = (
        f'{{"type": "test", "timestamp": "{now.isoformat()}",'
        ' "text": "a test of ftctl", "data": {}}'
    )
    what = Notification(
        id=f"ntf_test{new_id()}",
        subscriber=to.name,
        job_id=None,
        topic="test",
        body=body,
        created_at=now,
    )
    return courier(to, what, now, to.timeout)


class _Round:
    """Tries under way in a few threads, until everything was tried or the time is over."""

    def __init__(self, courier: Courier, clock: Clock, patience: float) -> None:
        self._courier, self._clock = courier, clock
        self._deadline = time.monotonic() + patience
        self._under_way: dict[str, Notification] = {}
        self._done = queue.SimpleQueue[_Try | None]()

    def tries(self, work: Sequence[_Work]) -> Iterator[_Try]:
        """Every try as it ends; then those that had to be left."""
        left = queue.SimpleQueue[_Work]()
        for each in work:
            left.put(each)
        threads = min(MOST_AT_ONCE, len(work))
        for number in range(threads):
            # A name that never resolves cannot be interrupted: the process ends without its thread.
            threading.Thread(
                target=self._carry, args=(left,), name=f"notify-{number}", daemon=True
            ).start()
        while threads:
            try:
                ended = self._done.get(timeout=max(self._seconds_left() + _GRACE, 0.0))
            except queue.Empty:
                break
            if ended is None:
                threads -= 1
            else:
                yield ended
        for what in list(self._under_way.values()):
            yield _Try(what, Outcome(ok=False, told="no answer in time"))

    def _carry(self, left: queue.SimpleQueue[_Work]) -> None:
        try:
            while True:
                self._in_order(*left.get_nowait())
        except queue.Empty:
            pass
        finally:
            self._done.put(None)

    def _in_order(self, to: Subscriber, some: Sequence[Notification]) -> None:
        for what in some:
            seconds = min(to.timeout, self._seconds_left())
            if seconds < _TOO_SHORT:
                return
            self._under_way[to.name] = what
            try:
                outcome = self._courier(to, what, self._clock.now(), seconds)
            except Exception as error:  # noqa: BLE001 - a bug here must not end a pass of sync
                outcome = Outcome(ok=False, told=f"a bug in ftctl: {type(error).__name__}")
            del self._under_way[to.name]
            self._done.put(_Try(what, outcome))
            if not outcome.ok:
                return

    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()


def _settle(tried: _Try, to: Subscriber, outbox: Outbox, now: datetime, told: Told) -> None:
    failpoints.reach("notify.sent")
    what, outcome = tried
    attempts = what.attempts + 1
    what = replace(what, attempts=attempts, last=outcome.told, next_at=None)
    if outcome.ok:
        outbox.settle(replace(what, state=State.DELIVERED, delivered_at=now))
        told.delivered += 1
        return
    wish = timedelta(seconds=min(outcome.retry_after or 0.0, LONGEST_PAUSE.total_seconds()))
    if outcome.gone or attempts >= to.attempts:
        what = replace(what, state=State.GIVEN_UP)
    else:
        what = replace(what, next_at=now + max(PAUSES[min(attempts, len(PAUSES)) - 1], wish))
    outbox.settle(what, quiet_until=now + wish if wish else None)
    told.failures.append(what)
