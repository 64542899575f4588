"""Batches of similar length in few shapes: little padding, and memory that stays flat."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.training.rendering import Row

__all__ = [
    "PASS_OVERHEAD", "PASS_OVERHEAD_ON_CUDA", "PASS_OVERHEAD_PACKED", "TOKENS_PER_PASS",
    "Batch", "cheapest_cuts", "cut", "cut_lengths",
    "epoch_order", "in_passes", "pad",
]  # fmt: skip

TOKENS_PER_PASS = 16_384
PASS_OVERHEAD = 96
PASS_OVERHEAD_ON_CUDA = 4096
PASS_OVERHEAD_PACKED = 1 << 30  # nothing is filled up, so nothing is won by rows of like length
_WINDOW = 16
_ENDLESS = 1 << 40
_LENGTHS = [
    *range(16, 128, 16), *range(128, 512, 64), *range(512, 2048, 256), *range(2048, 131073, 1024)
]  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Rows padded at the end to one length: ``ids``, ``learned`` and ``real`` (rows, length).

    ``real`` is False where a row is filled up.
    """

    ids: torch.Tensor
    learned: torch.Tensor
    real: torch.Tensor
    tokens: int
    labels: int

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        ids, learned, real = (one.to(device) for one in (self.ids, self.learned, self.real))
        return Batch(ids, learned, real, self.tokens, self.labels)


def epoch_order(rows: Sequence[Row], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the row numbers of each batch of one epoch; the same seed gives the same order.

    Rows are shuffled, sorted by length within windows of several batches, and the batches are
    shuffled again.
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(range(len(rows)))
    chance.shuffle(order)
    window = batch_size * _WINDOW
    batches = []
    for start in range(0, len(order), window):
        near = sorted(order[start : start + window], key=lambda index: len(rows[index].ids))
        batches += [near[at : at + batch_size] for at in range(0, len(near), batch_size)]
    chance.shuffle(batches)
    return batches


def in_passes(
    rows: Sequence[Row],
    *,
    longest: int,
    pad_id: int,
    tokens: int = TOKENS_PER_PASS,
    overhead: int = PASS_OVERHEAD,
) -> list[Batch]:
    """Pad rows into one batch, or into several of like length where that is less work.

    Args:
        rows: the rows of one step, in any order.
        longest: the length in tokens that no row exceeds.
        pad_id: what fills rows up.
        tokens: padded tokens that no batch exceeds, unless one row does.
        overhead: what a pass costs beyond its tokens, counted in tokens.
    """
    return [
        pad([rows[number] for number in numbers], length, pad_id)
        for numbers, length in cut(rows, longest=longest, tokens=tokens, overhead=overhead)
    ]


def cut(
    rows: Sequence[Row], *, longest: int, tokens: int, overhead: int
) -> list[tuple[list[int], int]]:
    """Return the numbers of the rows of each pass, and its length; see :func:`in_passes`."""
    lengths = [len(row.ids) for row in rows]
    return cut_lengths(lengths, longest=longest, tokens=tokens, overhead=overhead)


def cut_lengths(
    lengths: Sequence[int], *, overhead: int, longest: int = _ENDLESS, tokens: int = _ENDLESS
) -> list[tuple[list[int], int]]:
    """Return which lengths are padded to the same one, and to which; see :func:`in_passes`."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    padded = [min(_bucket(lengths[at]), longest) for at in order]
    return [
        (order[start:end], padded[start]) for start, end in cheapest_cuts(padded, tokens, overhead)
    ]


def cheapest_cuts(lengths: Sequence[int], tokens: int, overhead: int) -> list[tuple[int, int]]:
    """Cut falling lengths into runs (start, end) with the least padding and overhead.

    Equal lengths stay together where ``tokens``, the padded tokens of a run, allow it; ``overhead``
    is what a run costs beyond its tokens, counted in tokens. Exact, by dynamic programming.
    """
    count = len(lengths)
    edges = [at for at in range(count) if at == 0 or lengths[at] != lengths[at - 1]]
    best: dict[int, tuple[int, list[tuple[int, int]]]] = {count: (0, [])}
    for start in reversed(edges):
        best[start] = min(
            _run(start, end, lengths[start], tokens, overhead, best[end])
            for end in (*(edge for edge in edges if edge > start), count)
        )
    return best[0][1] if count else []


def _run(  # noqa: PLR0917
    start: int,
    end: int,
    length: int,
    tokens: int,
    overhead: int,
    rest: tuple[int, list[tuple[int, int]]],
) -> tuple[int, list[tuple[int, int]]]:
    rows = max(1, tokens // length)
    cuts = [(at, min(at + rows, end)) for at in range(start, end, rows)]
    return length * (end - start) + overhead * len(cuts) + rest[0], cuts + rest[1]


def pad(rows: Sequence[Row], length: int, pad_id: int) -> Batch:
    """Fill rows up at their ends to ``length``."""
    ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    learned = torch.zeros((len(rows), length), dtype=torch.bool)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = torch.tensor(row.ids)
        learned[number, : len(row.ids)] = torch.tensor(row.learned)
    learned[:, 0] = False
    lengths = torch.tensor([len(row.ids) for row in rows])
    real = torch.arange(length) < lengths[:, None]
    return Batch(ids, learned, real, int(lengths.sum()), int(learned.sum()))


def _bucket(length: int) -> int:
    at = bisect_left(_LENGTHS, length)
    return _LENGTHS[at] if at < len(_LENGTHS) else length
