"""Folders for what a command works on: gone when it ends, or, where it was killed, with the next one."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from orchestrator.domain.ids import new_id
from orchestrator.store.locks import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Drafts:
    """Drafts hold rows of the user's, so they lie in FTCTL_HOME and never in a folder of all users.

    Who works on a draft holds a lock beside it, which the kernel frees however the process ends: a
    draft whose lock is free belongs to nobody.
    """

    def __init__(self, root: Path) -> None:
        """Take the folder for all drafts; it is made on first use."""
        self._root = root

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder of one's own, for its owner alone."""
        self.sweep()
        with contextlib.ExitStack() as stack:
            place = self._root / new_id()
            while not stack.enter_context(exclusive(_lock(place))):
                place = self._root / new_id()
            place.mkdir(mode=0o700)
            try:
                yield place
            finally:
                shutil.rmtree(place, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed processes left."""
        there = list(self._root.iterdir()) if self._root.is_dir() else []
        for place in {each.with_suffix("") for each in there}:
            with contextlib.suppress(OSError), exclusive(_lock(place)) as ours:
                if ours:
                    shutil.rmtree(place, ignore_errors=True)


def _lock(place: Path) -> Path:
    return place.with_name(f"{place.name}.lock")
