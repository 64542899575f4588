"""A grader that is Python code of the client's, in a process of its own, under limits."""

from __future__ import annotations

import json
import math
import os
import selectors
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftctl_worker.graders.grader import Grade, GradingError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST_SOURCE", "PythonGrader"]

MOST_SOURCE = 256 * 1024
_SECONDS = 10.0
_RUNNER = Path(__file__).with_name("python_runner.py")


class PythonGrader:
    """Asks ``grade(sample, item)``; a process that dies or hangs is replaced by the next answer."""

    templates: tuple[str, ...] = ()

    def __init__(self, *, name: str, source: str, seconds: float = _SECONDS) -> None:
        """Keep the source; nothing is run before the first answer."""
        self.name = name
        self._source = source
        self._seconds = seconds
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def grade(self, fields: Mapping[str, Any]) -> Grade:
        """Return what the function returns."""
        with self._lock:
            reply = self._ask(fields)
        reward = reply.get("reward")
        if isinstance(reward, int | float) and math.isfinite(reward):
            return Grade(float(reward))
        said = reply.get("error", f"it returned {reward!r}")
        raise GradingError("python_grader_runtime_error", str(said)[:500])

    def _ask(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        if self._child is None or self._child.has_ended:
            self._child = _Child()
            said = self._tell(self._source)
            if "error" in said:
                return said
        return self._tell(fields)

    def _tell(self, value: object) -> dict[str, Any]:
        assert self._child is not None
        reply = self._child.ask(json.dumps(value), self._seconds)
        if reply is None:
            self._child.end()
            raise GradingError(
                "unresponsive_reward_error", f"no answer within {self._seconds:g} seconds"
            )
        return reply


class _Child:
    """The process; it gets no environment, so no secrets, and dies with its grader."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_RUNNER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "PYTHONIOENCODING": "utf-8"},
            cwd="/",
        )
        self._rest = b""
        self.end = weakref.finalize(self, _end, self._process)

    @property
    def has_ended(self) -> bool:
        return not self.end.alive or self._process.poll() is not None

    def ask(self, line: str, seconds: float) -> dict[str, Any] | None:
        """Send a line and return the reply; None where none came in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            answer = self._line(seconds)
            reply = None if answer is None else json.loads(answer)
        except (OSError, ValueError):
            self.end()
            return {"error": "the process ended, perhaps at its limit of memory"}
        return reply

    def _line(self, seconds: float) -> bytes | None:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        with selectors.DefaultSelector() as waiting:
            waiting.register(handle, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not waiting.select(seconds):
                    return None
                some = os.read(handle, 65536)
                if not some:
                    return b""
                self._rest += some
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was not read any more is lost with the process
                pass
