"""How the adapters of a pass are spread over its places, and where their gradients are added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftctl_worker.flat import Flat
    from ftctl_worker.llama_parts import Parts
    from ftctl_worker.packing import Packing

__all__ = ["LINEARS", "Spread"]

LINEARS = 4


class Spread:
    """The adapters of a pass, one for each part of its places."""

    def __init__(self, flats: Sequence[Flat], packing: Packing, dtype: torch.dtype) -> None:
        """Spread ``flats`` over the parts of ``packing``; the arithmetic is in ``dtype``."""
        self.leaves = [flat.values for flat in flats]
        self.comes_back = bool(flats) and torch.is_grad_enabled()
        self._flats = flats
        self._dtype = dtype
        self._rows = _slices(packing.ends)[: len(flats)]
        self._learned_rows = _slices(packing.learned_ends)[: len(flats)]
        self._is_one = packing.is_even and len(flats) > 1 and len({f.plans for f in flats}) == 1
        self._places = len(packing.ids) // max(1, len(flats))
        self._values = [flat.values.detach().to(dtype) for flat in flats]
        self._grads = [torch.zeros_like(one) for one in self._values] if self.comes_back else []
        if self._is_one:
            self._values_as_one = torch.stack(self._values)
            if self.comes_back:
                self._grads_as_one = torch.stack(self._grads)
                self._grads = list(self._grads_as_one)

    def of(self, layer: int, linear: int, *, learned: bool = False) -> Parts:
        """Return the LoRA matrices of a linear layer, their gradients, and their places.

        With ``learned`` the places are those whose next token is learned.
        """
        number = layer * LINEARS + linear
        if self._is_one and not learned:
            plan = self._flats[0].plans[number]
            if plan is None:
                return []
            back = plan.view(self._grads_as_one) if self.comes_back else None
            return [(plan.view(self._values_as_one), back, self._side_by_side)]
        found = []
        for at, (flat, rows) in enumerate(
            zip(self._flats, self._learned_rows if learned else self._rows, strict=True)
        ):
            plan = flat.plans[number]
            if plan is not None:
                back = plan.view(self._grads[at]) if self.comes_back else None
                found.append((plan.view(self._values[at]), back, rows))
        return found

    def gradients(self) -> list[torch.Tensor]:
        """Return the gradient of each leaf."""
        return [one.to(leaf.dtype) for one, leaf in zip(self._grads, self.leaves, strict=True)]

    def _side_by_side(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, self._places, x.shape[-1])


def _slices(ends: Sequence[int]) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    return [_Rows(start, end) for start, end in zip((0, *ends[:-1]), ends, strict=True)]


@dataclass(frozen=True)
class _Rows:
    start: int
    end: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x[self.start : self.end]
