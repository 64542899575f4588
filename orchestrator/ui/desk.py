"""What every page works with, and work that goes on after the answer was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.errors import FtctlError, UsageError
from orchestrator.domain.web import WebResponse
from orchestrator.ui.layout import Slice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Lifecycle
    from orchestrator.domain.web import WebRequest
    from orchestrator.ui.files import Files
    from orchestrator.ui.once import Once
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.wiring import App

_AT_ONCE = 4
_FAST, _SLOW = timedelta(seconds=2), timedelta(seconds=15)
_LARGEST = 10**9


class Errands:
    """Work on jobs that nobody waits for: the sending, and the looks while a page is watched."""

    def __init__(self, app: App, say: Callable[[str], None]) -> None:
        """Take the application, and where to tell what came of it."""
        self._app, self._say = app, say
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="errand")
        self._lock = threading.Lock()
        self._looked: dict[str, datetime] = {}
        self._busy: set[str] = set()

    def send(self, job: Job) -> None:
        """Upload and submit; whatever fails is told in the ledger, and sync takes it from there."""
        self._begin(job.id, lambda: self._send(job))

    def look(self, job: Job) -> None:
        """Ask the provider how a job stands, unless that was done a moment ago."""
        if not job.status.is_remote:
            return
        now = self._app.clock.now()
        pause = _FAST if self._app.settings.profile(job.provider).embedded else _SLOW
        with self._lock:
            last = self._looked.get(job.id)
            if last is not None and now - last < pause:
                return
            self._looked[job.id] = now
        self._begin(job.id, lambda: self._look(job))

    def is_busy(self, job: Job) -> bool:
        """Whether something goes on about the job in this process."""
        with self._lock:
            return job.id in self._busy

    def close(self) -> None:
        """Begin nothing more, and let what is under way come to its end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, job_id: str, work: Callable[[], object]) -> None:
        with self._lock:
            if job_id in self._busy:
                return
            self._busy.add(job_id)
        self._pool.submit(self._run, job_id, work)

    def _run(self, job_id: str, work: Callable[[], object]) -> None:
        try:
            work()
            self._app.tell_others(self._say)
        except FtctlError as error:
            self._say(f"job {job_id}: {error.message}")
        except Exception as error:  # noqa: BLE001 - one bad job must not end the others
            self._say(f"job {job_id}: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._busy.discard(job_id)

    def _send(self, job: Job) -> None:
        from orchestrator.usecases.jobs.submit import submit

        provider = self._app.provider(job.provider)
        with self._app.claim(job.id) as ours:
            if ours:
                submit(job, provider, self._app.ledger())

    def _look(self, job: Job) -> None:
        from orchestrator.usecases.webhooks import look

        look(job.id, self._app.provider(job.provider), self._app.ledger())


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The parts of the application that pages are made from.

    Attributes:
        files: datasets that may be named.
        once: forms that work once.
        errands: work that goes on after the answer.
    """

    app: App
    files: Files
    once: Once
    errands: Errands

    def ledger(self) -> tuple[Ledger, list[str]]:
        """The parts that use cases work with, and what they say meanwhile."""
        lines: list[str] = []
        return self.app.ledger(lines.append), lines


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request of a browser that was let in.

    Attributes:
        desk: what pages are made from.
        mark: what every form must carry.
        parts: of the path, as the route names them.
    """

    desk: Desk
    request: WebRequest
    mark: str
    parts: Mapping[str, str]

    @property
    def app(self) -> App:
        """The wired application."""
        return self.desk.app

    @property
    def lifecycle(self) -> Lifecycle:
        """Last days as they are known now: the process outlives what it read at its start."""
        return self.app.listed_lifecycle.with_told(self.app.model_dates.all())

    def asked(self, name: str) -> str:
        """A field of the address; empty when it is not there."""
        return self.request.query.get(name, "").strip()

    def given(self, name: str) -> str:
        """A field of the form; empty when it is not there."""
        return self.request.form.get(name, "").strip()

    def first(self) -> int:
        """From which number on a long list is wanted."""
        text = self.asked("from")
        if not text:
            return 0
        if not (text.isascii() and text.isdigit()) or int(text[:12]) > _LARGEST:
            raise UsageError(f"'{text[:20]}' is no place in a list.")
        return int(text)

    def slice(self, many: int, total: int) -> Slice:
        """That part of a list; past its end is its last part."""
        return Slice(
            first=min(self.first(), max(0, total - 1) // many * many), many=many, total=total
        )


Handler = Callable[[Visit], WebResponse]
