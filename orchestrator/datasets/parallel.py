"""A large file in parts, one process each: cut at line ends, added up in order."""

from __future__ import annotations

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.datasets.scanning import Scan

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.datasets.scanning import Checks, Tallied

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


def scan_in_parts(path: Path, first: Scan, checks: Checks, workers: int) -> Tallied:
    """Read a file with several processes.

    Args:
        path: an uncompressed file.
        first: reads the first part, in this process.
        checks: what is asked of the other parts.
        workers: processes, this one included.

    Returns:
        What `first` adds up, with everything of the other parts taken in.
    """
    head, *rest = parts_of(path, workers)
    # Forked children share the seed of hash(), by which equal rows are known across parts.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(max(len(rest), 1), mp_context=context) as pool:
        waiting = [pool.submit(scan_part, path, part, checks) for part in rest]
        done = first.read(_opened(path, head))
        for each in waiting:
            done.add(each.result())
    return done


def scan_part(path: Path, part: Part, checks: Checks) -> Tallied:
    """Read one part; its lines are counted from 1."""
    return Scan(checks).read(_opened(path, part))


def _opened(path: Path, part: Part) -> io.BufferedReader:
    return io.BufferedReader(_Window(path, part), _BUFFER)


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
