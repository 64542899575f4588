"""Passes of sync in as many processes, all of which have read the ledger before one of them writes.

The lock that keeps passes apart is left out, so that compare-and-swap stands alone.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator import config, wiring
from orchestrator.domain.clock import ManualClock
from orchestrator.usecases.jobs.sync import sync

_PATIENCE = 240


def at_once(home: Path, passes: int, planted: Callable[[], None] | None = None) -> list[int]:
    """Run them; how many changes each of them says it made.

    Args:
        home: of an installation with one profile, `host`.
        passes: how many processes.
        planted: a bug for each of them; it must be found by its name in its module.
    """
    context = multiprocessing.get_context("forkserver")
    # What takes seconds to load is loaded once.
    context.set_forkserver_preload([__name__, "providers.openai", "orchestrator.store.migrations"])
    barrier = context.Barrier(passes)
    with context.Pool(passes, _meet, (barrier, planted)) as pool:
        return pool.map(_one_pass, [home] * passes, chunksize=1)


_barrier: Any = None


def _meet(barrier: Any, planted: Callable[[], None] | None) -> None:
    global _barrier  # noqa: PLW0603 - what a pool hands to its processes
    _barrier = barrier
    if planted is not None:
        planted()


def _one_pass(home: Path) -> int:
    environment = {"FTCTL_HOME": str(home), "HOME": str(home), "KEY": "sk-crowd"}
    app = wiring.App(config.load(environment, cwd=home), clock=ManualClock())
    provider: Any = app.provider("host")
    listing = provider.list_jobs

    def listed(*arguments: Any) -> Iterator[Any]:
        # The ledger was read before the host is asked.
        _barrier.wait(_PATIENCE)
        yield from listing(*arguments)

    provider.list_jobs = listed
    try:
        return len(sync(app.ledger()).changes)
    finally:
        app.close()
