"""What a signed webhook comes to: a look at the job that it names. Its word is never the truth."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orchestrator.domain import failpoints
from orchestrator.domain.errors import Conflict, FtctlError
from orchestrator.domain.inbox import Hint
from orchestrator.usecases.jobs.polling import shut_until
from orchestrator.usecases.jobs.sync import sync_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.domain.inbox import Inbox
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger

TYPES = tuple(f"fine_tuning.job.{word}" for word in ("succeeded", "failed", "cancelled"))
_LONGEST = 255
_MOST_WAITING = 1000


class Heard(NamedTuple):
    """What became of a webhook: a line for a person, and the job to look at, if any."""

    line: str
    job_id: str | None = None


def hear(
    webhook_id: str, said: Mapping[str, Any], inbox: Inbox, account: str, ledger: Ledger
) -> Heard:
    """Keep a webhook that was signed, and make its job due; asks nobody.

    Once this returns, a crash costs no more than the wait for the next pass of sync.

    Args:
        webhook_id: the sender's id of the delivery.
        said: the body.
        inbox: where deliveries are kept.
        account: of the profile whose secret signed it; jobs of others are not touched.
        ledger: for the time.
    """
    kind, remote_id = said.get("type"), _remote_id(said)
    if kind not in TYPES:
        return Heard(f"a webhook of another kind, {str(kind)[:64]!r}, is ignored")
    if remote_id is None:
        return Heard(f"a webhook {kind} without a job is ignored")
    hint = Hint(
        id=webhook_id, account=account, type=kind, remote_id=remote_id, at=ledger.clock.now()
    )
    receipt = inbox.accept(hint)
    failpoints.reach("webhook.kept")
    if not receipt.is_new:
        return Heard(f"{kind} {remote_id}: came before")
    if receipt.job_id is None:
        return Heard(f"{kind} {remote_id}: no job of ours")
    return Heard(f"{kind} {remote_id}: job {receipt.job_id}", receipt.job_id)


def look(job_id: str, provider: Provider, ledger: Ledger) -> str:
    """Ask the provider about the job that a webhook named, and write down what it says.

    Returns:
        A line for a person. Whatever fails, the job stays due for the next pass of sync.
    """
    job = ledger.jobs.get(job_id)
    if job.status.is_final or not job.status.is_remote:
        return f"job {job.id} is {job.status} already"
    until = shut_until(provider, ledger)
    if until is not None:
        return f"job {job.id}: the account is not asked before {until:%H:%M:%S}; sync will"
    try:
        after = sync_job(job, provider, ledger)
    except Conflict:
        return f"job {job.id}: another process was first"
    except FtctlError as error:
        return f"job {job.id}: {error.message} The next sync asks again."
    if after.status is job.status:
        return f"job {job.id} is {job.status} still; the next sync asks again"
    return f"job {job.id}  {job.status} → {after.status}"


class LookOut:
    """A thread that looks at the jobs that webhooks named, one after the other."""

    def __init__(
        self, provider: Provider, ledger: Ledger, *, idle: Callable[[], object] = lambda: None
    ) -> None:
        """Take whom to ask, and what to do when everything was looked at."""
        self._provider, self._ledger, self._idle = provider, ledger, idle
        self._work: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="look-out")

    def add(self, job_id: str) -> None:
        """Have a look soon. With too many waiting, it is left to the next pass of sync."""
        with contextlib.suppress(queue.Full):
            self._work.put_nowait(job_id)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End after the look that is under way; jobs that still wait are due for sync."""
        self._ending.set()
        with contextlib.suppress(queue.Full):
            self._work.put_nowait(None)
        self._thread.join()

    def _run(self) -> None:
        while (job_id := self._work.get()) is not None and not self._ending.is_set():
            try:
                self._ledger.say(look(job_id, self._provider, self._ledger))
                if self._work.empty():
                    self._idle()
            except Exception as error:  # noqa: BLE001 - one bad job must not end the watch
                self._ledger.say(f"job {job_id}: {type(error).__name__}: {error}")


def _remote_id(said: Mapping[str, Any]) -> str | None:
    data = said.get("data")
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST else None
