"""The chat engine: one thread, a queue, and one batch for all requests over a base model.

A request joins the batch between two tokens and leaves it at its end. Requests of one project are
seated in the order they came, and projects take turns: as soon as one over another base model is the
first to wait, nobody joins any more, so that its turn comes when the batch at hand has ended.

torch is imported by that thread on its first request, never by the server itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING

from ftctl_worker.errors import ModelError, QueueFullError
from ftctl_worker.serving.replies import Done, Failed
from ftctl_worker.serving.ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftctl_worker.serving.chat_request import ChatRequest
    from ftctl_worker.serving.replies import Reply
    from ftctl_worker.serving.resident import Shelf
    from ftctl_worker.serving.ticket import Target
    from ftctl_worker.settings import Precision

__all__ = ["Engine"]

_LOG = logging.getLogger("ftctl_worker")
_GATHER_SECONDS = 0.01


class Engine:
    """Answers requests in order of arrival, those over the same base model together."""

    def __init__(
        self,
        *,
        cache: Path,
        threads: int,
        precision: Precision,
        max_batch: int,
        max_waiting: int = 0,
    ) -> None:
        """Prepare for ``max_waiting`` requests in line, 0 for any; the first starts the thread."""
        self._cache = cache
        self._threads = threads
        self._precision = precision
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._running: list[Ticket] = []
        self.tokens = {"prompt": 0, "completion": 0}
        self.batches = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer to begin."""
        return len(self._waiting)

    def submit(
        self, chat: ChatRequest, target: Target, *listeners: Callable[[Reply], None]
    ) -> list[Ticket]:
        """Queue a request for an answer to each listener, which gets Done or Failed last.

        Raises:
            QueueFullError: as many wait as may.
        """
        tickets = []
        for index, deliver in enumerate(listeners):
            ticket = Ticket(chat, target, deliver, index)
            ticket.deliver = partial(self._deliver, ticket, deliver)
            tickets.append(ticket)
        with self._changed:
            self._check_room()
            for ticket in tickets:
                self._waiting.insert(self._place(target.project), ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
                self._thread.start()
            self._changed.notify()
        return tickets

    def _place(self, project: str) -> int:
        """Return where one more of ``project`` stands in line: projects take turns."""
        turn = sum(one.target.project == project for one in self._waiting)
        before: Counter[str] = Counter()
        for place, one in enumerate(self._waiting):
            if before[one.target.project] > turn:
                return place
            before[one.target.project] += 1
        return len(self._waiting)

    def _check_room(self) -> None:
        if not self._max_waiting or len(self._waiting) < self._max_waiting:
            return
        self._waiting = deque(one for one in self._waiting if not one.cancelled)
        if len(self._waiting) >= self._max_waiting:
            raise QueueFullError(
                f"{len(self._waiting)} chats wait for an answer, which is as many as this server "
                "lets wait; try again soon.",
                code="queue_full",
            )

    def _deliver(self, ticket: Ticket, deliver: Callable[[Reply], None], reply: Reply) -> None:
        if isinstance(reply, Done):
            # However many answers there are to it, a prompt is one.
            self.tokens["prompt"] += reply.prompt_tokens if ticket.index == 0 else 0
            self.tokens["completion"] += reply.completion_tokens
        ticket.ended = isinstance(reply, Done | Failed)
        deliver(reply)

    def stop(self) -> None:
        """Refuse what waits, let the running batch end early, and end the thread."""
        with self._changed:
            self._stopping = True
            for ticket in self._running:
                ticket.cancel()
            _fail(list(self._waiting), Failed("server_error", "The server is stopping."))
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        shelf: Shelf | None = None
        while batch := self._take():
            try:
                if shelf is None:
                    shelf = self._open_shelf()
                shelf.answer(batch, self._more)
            except ModelError as error:
                _fail(self._running, Failed("server_error", str(error)))
            except Exception:  # noqa: BLE001 - the next batch has to be answered
                _LOG.exception("a batch of %d chats failed", len(self._running))
                _fail(self._running, Failed("server_error", "The model failed to answer."))

    def _open_shelf(self) -> Shelf:
        from ftctl_worker.serving.resident import Shelf

        return Shelf(cache=self._cache, threads=self._threads, precision=self._precision)

    def _take(self) -> list[Ticket]:
        """Wait for requests, and return those over one base; none means the end."""
        with self._changed:
            self._running = []
            while not self._waiting and not self._stopping:
                self._changed.wait()
            self._gather()
            if self._stopping:
                return []
            base = self._waiting[0].target.base
            batch = [one for one in self._waiting if one.target.base == base][: self._max_batch]
            for ticket in batch:
                self._waiting.remove(ticket)
            self._running = batch
            self.batches += 1
            return batch

    def _more(self, seated: int) -> list[Ticket]:
        """Return the requests that may join those at hand, in the order they came."""
        with self._changed:
            self._running = [ticket for ticket in self._running if not ticket.ended]
            base = self._running[0].target.base if self._running else None
            joining: list[Ticket] = []
            while self._waiting and seated + len(joining) < self._max_batch:
                if self._stopping or self._waiting[0].target.base != base:
                    break
                joining.append(self._waiting.popleft())
            self._running += joining
            return joining

    def _gather(self) -> None:
        """Give requests that were sent together a moment to arrive together."""
        until = time.monotonic() + _GATHER_SECONDS
        while not self._stopping and len(self._waiting) < self._max_batch:
            if not self._changed.wait(until - time.monotonic()):
                return


def _fail(batch: list[Ticket], failed: Failed) -> None:
    for ticket in batch:
        if not ticket.ended:
            ticket.deliver(failed)
