"""What the routes of the worker's API work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftctl_worker.home import Home
    from ftctl_worker.queue.disk import Disk
    from ftctl_worker.queue.filestore import FileStore
    from ftctl_worker.queue.history import History
    from ftctl_worker.queue.jobs import JobStore
    from ftctl_worker.queue.uploads import Uploads
    from ftctl_worker.serving.engine import Engine
    from ftctl_worker.serving.lookup import Lookup
    from ftctl_worker.tokens import Tokens

__all__ = ["Services"]


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the routes work with."""

    home: Home
    files: FileStore
    jobs: JobStore
    history: History
    lookup: Lookup
    engine: Engine
    jobs_changed: Callable[[], None]
    uploads: Uploads
    disk: Disk
    tokens: Tokens
