"""Where the tokens of a batch stand when no place is left for what fills rows up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ftctl_worker.training.batches import cut_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.training.batches import Batch

__all__ = ["Group", "Packing", "pack"]

_STEP = 32
_GROUP_OVERHEAD = 128


@dataclass(frozen=True)
class Group:
    """Rows of like length whose attention is computed at once: slots ``start`` to ``end``."""

    start: int
    end: int
    rows: int

    @property
    def length(self) -> int:
        """The slots of a row."""
        return (self.end - self.start) // self.rows


@dataclass(frozen=True)
class Packing:
    """The tokens of a batch in one line, those of each part beside each other.

    ``ids`` and ``positions`` are of shape (places,). A few places at the end of a part belong to no
    row: they keep shapes few, and nothing is learned from them. Attention needs rows apart, in
    slots: ``to_slots`` says for each slot which place it holds, ``row_starts`` and ``row_lengths``
    where its row begins and how many slots it has, ``to_places`` for each place which slot. ``learned`` are the places whose next token is learned, row by row. ``ends`` are the
    places at which the parts end, ``learned_ends`` the same among ``learned``.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    to_slots: torch.Tensor
    row_starts: torch.Tensor
    row_lengths: torch.Tensor
    to_places: torch.Tensor
    groups: tuple[Group, ...]
    learned: torch.Tensor
    ends: tuple[int, ...]
    learned_ends: tuple[int, ...]


def pack(batch: Batch, parts: Sequence[tuple[int, int]]) -> Packing:
    """Put the rows of a batch into one line; ``parts`` are runs of rows, from first to past last.

    Places and slots that hold nothing read from their own part only: what is not a number in one
    part stays there.
    """
    lengths = batch.real.sum(1).tolist()
    sizes = _sizes([sum(lengths[start:end]) for start, end in parts])
    starts, ends = _starts(lengths, parts, sizes)
    groups, first_slots, row_of_slot = _groups(lengths)
    row_of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    position = torch.arange(len(row_of)) - torch.tensor(_before(lengths))[row_of]
    place = torch.tensor(starts)[row_of] + position
    slot = torch.tensor(first_slots)[row_of] + position
    # The last place of a part is nobody's, and neither is the slot after the tokens of a row.
    spare = [end - 1 for (start, last), end in zip(parts, ends, strict=True)
             for _ in range(start, last)]  # fmt: skip
    to_slots = torch.tensor(spare)[row_of_slot]
    to_slots[slot] = place
    empty = torch.tensor([first_slots[start] + lengths[start] for start, _ in parts])
    to_places = torch.repeat_interleave(empty, torch.tensor(sizes))
    to_places[place] = slot
    wanted = batch.learned[:, 1:]
    wanted_at = wanted.nonzero()
    per_row = wanted.sum(1).tolist()
    return Packing(
        ids=_filled(sum(sizes), place, batch.ids[batch.real]),
        positions=_filled(sum(sizes), place, position),
        to_slots=to_slots,
        row_starts=torch.tensor(first_slots)[row_of_slot],
        row_lengths=torch.repeat_interleave(
            torch.tensor([one.length for one in groups]),
            torch.tensor([one.end - one.start for one in groups]),
        ),
        to_places=to_places,
        groups=groups,
        learned=torch.tensor(starts)[wanted_at[:, 0]] + wanted_at[:, 1],
        ends=tuple(ends),
        learned_ends=tuple(sum(per_row[:end]) for _, end in parts),
    )


def _filled(size: int, at: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    found = torch.zeros(size, dtype=torch.long)
    found[at] = values
    return found


def _before(numbers: Sequence[int]) -> list[int]:
    found, total = [], 0
    for number in numbers:
        found.append(total)
        total += number
    return found


def _sizes(tokens: Sequence[int]) -> list[int]:
    """Return the places of each part: one more than it has tokens, and a round sum."""
    others = [count + 1 for count in tokens[:-1]]
    total = sum(others) + tokens[-1] + 1
    return [*others, -(-total // _STEP) * _STEP - sum(others)]


def _starts(
    lengths: Sequence[int], parts: Sequence[tuple[int, int]], sizes: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the first place of each row, and the place after the last of each part."""
    starts: list[int] = []
    ends: list[int] = []
    for (first, last), size in zip(parts, sizes, strict=True):
        begin = ends[-1] if ends else 0
        starts += [begin + before for before in _before(lengths[first:last])]
        ends.append(begin + size)
    return starts, ends


def _groups(lengths: Sequence[int]) -> tuple[tuple[Group, ...], list[int], torch.Tensor]:
    """Return the groups, the first slot of each row, and whose row each slot is."""
    first_slots = [0] * len(lengths)
    groups, owners, start = [], [], 0
    for numbers, length in cut_lengths([one + 1 for one in lengths], overhead=_GROUP_OVERHEAD):
        for at, number in enumerate(numbers):
            first_slots[number] = start + at * length
        groups.append(Group(start, start + len(numbers) * length, len(numbers)))
        owners.append(torch.repeat_interleave(torch.tensor(numbers), length))
        start = groups[-1].end
    return tuple(groups), first_slots, torch.cat(owners)
