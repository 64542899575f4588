"""Asking a trainer to stop after the step at hand, so that nothing of its work is lost."""

from __future__ import annotations

import os
import signal
import threading
import time

__all__ = ["Alarm", "StopRequest"]

_PATIENCE_SECONDS = 8.0


class StopRequest:
    """Set by SIGTERM once :meth:`listen` was called; before that the process simply ends."""

    def __init__(self) -> None:
        """Start unset."""
        self._asked = threading.Event()

    def listen(self) -> None:
        """Take SIGTERM as a request from now on."""
        signal.signal(signal.SIGTERM, lambda *_: self._asked.set())

    @property
    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self._asked.is_set()

    def insist(self) -> None:
        """Ask this process itself, and end it where it takes too long."""
        self._asked.set()
        threading.Event().wait(_PATIENCE_SECONDS)
        os._exit(0)


class Alarm:
    """Rings when ``seconds`` have passed since it rang last."""

    def __init__(self, seconds: float) -> None:
        """Start counting now."""
        self._seconds = seconds
        self._since = time.monotonic()

    def rings(self) -> bool:
        """Tell whether it is time, and start anew if so."""
        if time.monotonic() - self._since < self._seconds:
            return False
        self._since = time.monotonic()
        return True
