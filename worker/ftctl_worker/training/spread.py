"""How the adapters of a pass are spread over its places, and where their gradients are added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.training.flat import Flat, Low
    from ftctl_worker.training.packing import Packing

__all__ = ["Parts", "Spread"]

_LINEARS = 4


@dataclass(frozen=True)
class Parts:
    """What the parts of the places have of one linear layer.

    ``lows`` are the LoRA matrices of each part and their gradients, None where it has none;
    ``sizes`` are the places of each.
    """

    lows: Sequence[tuple[Low, Low] | None]
    sizes: Sequence[int]

    def cut(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the places x (places, width) of each part."""
        return x.split(self.sizes) if len(self.sizes) > 1 else (x,) * len(self.sizes)


class Spread:
    """The adapters of a pass, one for each part of its places."""

    def __init__(self, flats: Sequence[Flat], packing: Packing) -> None:
        """Spread ``flats`` over the parts of ``packing``."""
        self.leaves = [flat.values for flat in flats]
        self.comes_back = bool(flats) and torch.is_grad_enabled()
        self._flats = flats
        self._rooms = [flat.room() for flat in flats]
        self._sizes = _differences(packing.ends) if flats else []
        self._learned_sizes = _differences(packing.learned_ends) if flats else []

    def of(self, layer: int, linear: int, *, learned: bool = False) -> Parts:
        """Return what the parts have of a linear layer.

        With ``learned`` only places count whose next token is learned.
        """
        number = layer * _LINEARS + linear
        lows = [room.linears[number] for room in self._rooms]
        return Parts(lows, self._learned_sizes if learned else self._sizes)

    def collect(self) -> None:
        """Add the gradients of the pass to those of each leaf."""
        for flat in self._flats:
            flat.collect()


def _differences(ends: Sequence[int]) -> list[int]:
    return [end - start for start, end in zip((0, *ends[:-1]), ends, strict=True)]
