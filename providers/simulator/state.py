"""What a simulated host remembers: in memory, or in a file that later commands find again."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    State = dict[str, Any]

_EMPTY: State = {
    "serial": 0,
    "files": {},
    "jobs": {},
    "ledger": [],
    "idempotency": {},
    "deployments": {},
    "arm": {},
    "hosted": [],
    "faults": [],
    "late": [],
    "model_dates": {},
    "shift": 0.0,
    "uploads": {},
    "permissions": {},
}


def forget(state: State) -> None:
    """Everything is as it was before the first request."""
    state.clear()
    state.update(copy.deepcopy(_EMPTY))


class Memory(Protocol):
    """Gives the state to one request at a time."""

    def change(self) -> Any:
        """A context manager around the state; what is changed in it is kept."""
        ...


class InMemory:
    """Forgets everything when the process ends."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._state = copy.deepcopy(_EMPTY)
        self._lock = threading.RLock()

    @contextmanager
    def change(self) -> Iterator[State]:
        """The state, for one thread at a time."""
        with self._lock:
            yield self._state


class InFile:
    """A JSON file (0600) that several processes may use, one request at a time."""

    def __init__(self, path: Path) -> None:
        """Use this file; it need not be there yet."""
        self._path = path
        self._lock = threading.Lock()

    @contextmanager
    def change(self) -> Iterator[State]:
        """The state as the last request of any process left it.

        Raises:
            LocalStateError: the file is not what we wrote.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock, self._alone():
            state = self._read()
            yield state
            self._write(state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._path.with_suffix(".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> State:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return copy.deepcopy(_EMPTY)
        except ValueError as error:
            raise LocalStateError(
                f"The simulator's memory {self._path} is damaged.", hint=f"rm {self._path}"
            ) from error
        return {**copy.deepcopy(_EMPTY), **found}

    def _write(self, state: State) -> None:
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(state, stream)
        draft.replace(self._path)
