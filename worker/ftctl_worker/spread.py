"""How the adapters of a pass are spread over its places, and where their gradients are added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ftctl_worker.flat import Room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.flat import Flat, Low
    from ftctl_worker.packing import Packing

__all__ = ["Even", "Parts", "Spread"]

_LINEARS = 4


@dataclass(frozen=True)
class Parts:
    """What the parts of the places have of one linear layer.

    ``lows`` are the LoRA matrices of each part and their gradients, None where it has none.
    ``sizes`` are the places of each; None where the parts are of one size and their matrices are
    together in tensors of one more dimension.
    """

    lows: Sequence[tuple[Low, Low] | None]
    sizes: Sequence[int] | None

    def cut(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the places x (places, width) of each part; of all parts, where they are even."""
        if self.sizes is not None:
            return x.split(self.sizes) if len(self.sizes) > 1 else (x,) * len(self.sizes)
        (low,) = self.lows
        return (x if low is None else x.view(len(low[0].a), -1, x.shape[-1]),)


class Even:
    """Adapters of the same shapes in one tensor, so that one matmul takes all."""

    def __init__(self, flats: Sequence[Flat]) -> None:
        """Make room for ``flats``, which have the same plans."""
        first = flats[0].room().values
        self._flats = flats
        self.whole = Room(flats[0].plans, first.new_empty(len(flats), len(first)))
        self.rooms = [
            Room(flats[0].plans, values, gradients)
            for values, gradients in zip(self.whole.values, self.whole.gradients, strict=True)
        ]

    def refresh(self) -> None:
        """Take over the numbers as they are now."""
        torch.stack([flat.room().values for flat in self._flats], out=self.whole.values)

    @staticmethod
    def of(flats: Sequence[Flat]) -> Even | None:
        """Return room for adapters that are of the same shapes."""
        is_fit = len(flats) > 1 and all(flat.plans == flats[0].plans for flat in flats)
        return Even(flats) if is_fit else None


class Spread:
    """The adapters of a pass, one for each part of its places."""

    def __init__(self, flats: Sequence[Flat], packing: Packing, even: Even | None) -> None:
        """Spread ``flats`` over the parts of ``packing``; ``even`` where all take the same room."""
        self.leaves = [flat.values for flat in flats]
        self.comes_back = bool(flats) and torch.is_grad_enabled()
        self._flats = flats
        self._even = even
        self._sizes = _differences(packing.ends) if flats else []
        self._learned_sizes = _differences(packing.learned_ends) if flats else []
        if even is None:
            self._rooms = [flat.room() for flat in flats]
        else:
            even.refresh()
            self._rooms = even.rooms

    def of(self, layer: int, linear: int, *, learned: bool = False) -> Parts:
        """Return what the parts have of a linear layer.

        With ``learned`` only places count whose next token is learned.
        """
        number = layer * _LINEARS + linear
        if self._even is not None and not learned:
            return Parts([self._even.whole.linears[number]], None)
        sizes = self._learned_sizes if learned else self._sizes
        return Parts([room.linears[number] for room in self._rooms], sizes)

    def gradients(self) -> list[torch.Tensor]:
        """Return the gradient of each leaf; what is written later does not change it."""
        return [
            torch.mul(room.gradients, flat.scale).to(flat.values.dtype)
            for room, flat in zip(self._rooms, self._flats, strict=True)
        ]


def _differences(ends: Sequence[int]) -> list[int]:
    return [end - start for start, end in zip((0, *ends[:-1]), ends, strict=True)]
