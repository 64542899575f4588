"""A large file in parts, one process each: cut at line ends, added up in order."""

from __future__ import annotations

import io
import multiprocessing
import signal
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.datasets.checking.scanning import Scan
from orchestrator.datasets.files.reading import Counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from orchestrator.datasets.checking.checks import Checks, Listeners
    from orchestrator.datasets.checking.tallied import Tallied

_BUFFER = 1 << 20


class Part(NamedTuple):
    """Bytes of a file, from line start to line end."""

    start: int
    end: int


def parts_of(path: Path, many: int) -> list[Part]:
    """Cut a file into parts of about the same size.

    Args:
        path: the file.
        many: how many parts; fewer come back when lines are very long.
    """
    size = path.stat().st_size
    cuts = [0]
    with path.open("rb") as stream:
        for index in range(1, many):
            stream.seek(max(size * index // many, cuts[-1]))
            stream.readline()
            cuts.append(min(stream.tell(), size))
    cuts.append(size)
    return [Part(start, end) for start, end in pairwise(cuts) if end > start]


def scan_in_parts(path: Path, first: Scan, workers: int) -> Tallied:
    """Read a file with several processes.

    Args:
        path: an uncompressed file.
        first: reads the first part, in this process; the others are asked the same.
        workers: processes, this one included.

    Returns:
        What `first` adds up, with everything of the other parts taken in. After an interruption,
        what was read until then from the start of the file.
    """
    head, *rest = parts_of(path, workers)
    others = [_Other(path, part, first) for part in rest]
    try:
        done = first.read(_opened(path, head, first.on_bytes(workers)))
        for other in others:
            if not done.interrupted:
                done.add(other.result())
    except KeyboardInterrupt:
        if not first.checks.partial:
            raise
        first.done.interrupted = True
    finally:
        for other in others:
            other.stop()
    return first.done


def scan_part(
    path: Path, part: Part, checks: Checks, listeners: Listeners | None = None
) -> Tallied:
    """Read one part; its lines are counted from 1."""
    return Scan(checks, listeners).read(_opened(path, part))


class _Other:
    """A process that reads one part; forked, so that equal rows have equal hashes in all parts."""

    def __init__(self, path: Path, part: Part, first: Scan) -> None:
        context = multiprocessing.get_context("fork")
        self._end, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_scan_and_send, args=(theirs, path, part, first), daemon=True
        )
        self._process.start()
        theirs.close()

    def result(self) -> Tallied:
        try:
            answer = self._end.recv()
        except EOFError:
            raise ChildProcessError("a process that read a part of the file died") from None
        if isinstance(answer, BaseException):
            raise answer
        tallied: Tallied = answer
        return tallied

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self._end.close()


def _scan_and_send(end: Connection, path: Path, part: Part, first: Scan) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent stops this process.
    try:
        end.send(scan_part(path, part, first.checks, first.listeners.of_a_part()))
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        end.send(error)


def _opened(
    path: Path, part: Part, on_bytes: Callable[[int], None] | None = None
) -> io.BufferedReader:
    window = _Window(path, part)
    return io.BufferedReader(Counted(window, on_bytes) if on_bytes else window, _BUFFER)


class _Window(io.RawIOBase):
    """A file that ends where the part ends."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = io.FileIO(path)
        self._file.seek(part.start)
        self._left = part.end - part.start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: self._left]
        many = self._file.readinto(view) or 0
        self._left -= many
        return many

    def close(self) -> None:
        self._file.close()
        super().close()
