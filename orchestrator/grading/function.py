"""A grader that is a Python function of yours, run in a process of its own with a time limit.

It is your code and may do what you may do; the process keeps a crash, an endless loop and your keys
(it gets no environment) away from the comparison. It is not a sandbox for code of others.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

from orchestrator.domain.chat import ChatAnswer
from orchestrator.domain.comparing.sample import Sample
from orchestrator.domain.errors import UsageError
from orchestrator.grading import function_runner
from orchestrator.grading.grader import Item, Score
from orchestrator.grading.templates import fields_of

SECONDS = 10.0


class Function:
    """`grade(sample, item)` of a file, or of the source in an imported grader.

    The function takes `sample` (with `output_text`) and `item` (the row), or any of `answer`,
    `reference`, and returns a number from 0 to 1, True or False, or None for "cannot be graded".
    """

    def __init__(self, load: dict[str, Any], *, name: str, seconds: float = SECONDS) -> None:
        """Take what to load: {path | source, function}.

        Raises:
            UsageError: the function cannot be loaded.
        """
        self.name = name
        self._load, self._seconds = load, seconds
        self._lock = threading.Lock()
        self._child = self._start()

    def grade(self, answer: str, reference: str) -> Score:
        """The score of one answer, without the rest of its row."""
        said = ChatAnswer(
            text=answer, finish_reason=None, prompt_tokens=0, completion_tokens=0, latency=0.0
        )
        return self.grade_item(
            Item(sample=Sample(row=1, messages=[], reference=reference), answer=said)
        )

    def grade_item(self, item: Item) -> Score:
        """What the function returns; an error, or too long a wait, cannot be graded."""
        with self._lock:
            if self._child.ended:
                self._child = self._start()
            reply = self._child.ask(fields_of(item), self._seconds)
        if reply is None:
            return Score(value=None, reason=f"the function took more than {self._seconds:g} s")
        if "error" in reply:
            return Score(value=None, reason=f"the function failed: {str(reply['error'])[:200]}")
        value = reply.get("value")
        if value is None:
            return Score(value=None, reason="the function gave no score")
        if not 0 <= value <= 1:
            return Score(value=None, reason=f"the function gave {value:g}, not 0 to 1")
        return Score(value=float(value), reason=f"the function gave {value:g}")

    def close(self) -> None:
        """End the process."""
        self._child.end()

    def _start(self) -> _Child:
        child = _Child()
        reply = child.ask(self._load, self._seconds)
        if reply is None or "error" in reply:
            child.end()
            why = "it took too long to load" if reply is None else str(reply["error"])[:300]
            raise UsageError(
                f"The grading function cannot be loaded: {why}.",
                hint="--grader python:grade.py:grade",
            )
        return child


class _Child:
    """The process; killed with its grader."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", function_runner.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "PYTHONIOENCODING": "utf-8"},
        )
        self._rest = b""
        self.end = weakref.finalize(self, _end, self._process)

    @property
    def ended(self) -> bool:
        """Whether another one is needed."""
        return self._process.poll() is not None

    def ask(self, value: Any, seconds: float) -> dict[str, Any] | None:
        """One line to it and one back; None, and the process killed, when none comes in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(seconds)
        except OSError:
            line = b""
        if line is None:
            self.end()
            return None
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError:
            self.end()
            return {"error": "the process ended"}
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
            except OSError:
                # What was not read any more is lost with the process.
                pass


def function(argument: str | None) -> Function:
    """The grader `python:FILE:FUNC`; FUNC is `grade` when it is not given.

    Raises:
        UsageError: no file, or no such function in it.
    """
    path, _, name = (argument or "").rpartition(":")
    if not path:
        path, name = name, "grade"
    if not Path(path).is_file():
        raise UsageError(
            f"There is no file '{path}' with a grading function.",
            hint="--grader python:grade.py:grade",
        )
    return Function({"path": str(Path(path).absolute()), "function": name}, name=name)
