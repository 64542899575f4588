"""One training file from several: the rows of all tasks, in an order that anyone can repeat."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from orchestrator.datasets.files.reading import opened, physical_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def mix(files: Sequence[Path], target: Path, *, balance: bool = False) -> int:
    """Write the rows of all files, evenly interleaved: each file's share is the same everywhere.

    The order depends on the rows and on the order of the files alone. No row is lost.

    Args:
        files: normalised JSONL, one for each task.
        target: a new file.
        balance: repeat the rows of smaller files, in their order, up to the size of the largest.

    Returns:
        How many rows were written.
    """
    parts = [_rows(path) for path in files]
    if balance:
        largest = max(map(len, parts))
        parts = [list(islice(cycle(part), largest)) for part in parts]
    placed = [
        ((index + 0.5) / len(part), number, index)
        for number, part in enumerate(parts)
        for index in range(len(part))
    ]
    with target.open("xb") as stream:
        for _, number, index in sorted(placed):
            stream.write(parts[number][index] + b"\n")
    return len(placed)


def _rows(path: Path) -> list[bytes]:
    with opened(path) as source:
        return [row for line in physical_lines(source.stream) if (row := line.strip())]
