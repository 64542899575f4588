"""The trained numbers of an adapter in one tensor: one to clip, one to step, one to add up.

peft's parameters become views of it, so that whoever reads or writes them by name sees the same
numbers. LoRA matrices that read the same input stand beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Flat", "Low", "Plan", "Up"]


@dataclass(frozen=True)
class Up:
    """One LoRA B of shape (outputs, rank), for some outputs and some columns of a Low."""

    first: int
    last: int
    left: int
    right: int
    b: torch.Tensor


@dataclass(frozen=True)
class Low:
    """LoRA over linear layers with the same input: their A, one below the other, and each B."""

    a: torch.Tensor
    ups: tuple[Up, ...]
    scale: float


@dataclass(frozen=True)
class Plan:
    """Where the matrices of one :class:`Low` stand in the one tensor.

    ``ups`` are the outputs (first, last), the columns (left, right) and the place of each B.
    """

    at: int
    shape: tuple[int, int]
    ups: tuple[tuple[int, int, int, int, int], ...]
    scale: float

    def view(self, values: torch.Tensor) -> Low:
        """Return the matrices in ``values`` of shape (numbers,) or (adapters, numbers)."""
        ups = []
        for first, last, left, right, at in self.ups:
            b = _matrix(values, at, (last - first, right - left))
            ups.append(Up(first, last, left, right, b))
        return Low(_matrix(values, self.at, self.shape), tuple(ups), self.scale)


class Flat:
    """One adapter, as one leaf of the graph; ``plans`` says for each linear layer where it is."""

    def __init__(self, name: str, linears: Sequence[Sequence[tuple[Any, int]]]) -> None:
        """Take over what peft holds under ``name``.

        Args:
            name: what peft calls the adapter.
            linears: peft's layers that read the same input, each with the first of its outputs
                among all of theirs.
        """
        self.name = name
        self._places: dict[int, tuple[int, torch.Size]] = {}
        self._moved: list[tuple[int, torch.nn.Parameter]] = []
        self._size = 0
        self.plans = tuple(self._plan([one for one in some if name in one[0].lora_A])
                           for some in linears)  # fmt: skip
        self.values = torch.nn.Parameter(torch.empty(self._size))
        with torch.no_grad():
            for at, parameter in self._moved:
                view = self.values.detach()[at : at + parameter.numel()].view(parameter.shape)
                view.copy_(parameter)
                parameter.data = view
        self.lows = tuple(plan and plan.view(self.values.detach()) for plan in self.plans)

    def _plan(self, linears: Sequence[tuple[Any, int]]) -> Plan | None:
        if not linears:
            return None
        start = self._size
        for layer, _ in linears:
            self._take(layer.lora_A[self.name].weight)
        ups, left = [], 0
        for layer, first in linears:
            b = layer.lora_B[self.name].weight
            right = left + b.shape[1]
            ups.append((first, first + b.shape[0], left, right, self._size))
            self._take(b)
            left = right
        (scale,) = {layer.scaling[self.name] for layer, _ in linears}
        return Plan(start, (left, linears[0][0].in_features), tuple(ups), scale)

    def _take(self, parameter: torch.nn.Parameter) -> None:
        self._moved.append((self._size, parameter))
        self._size += parameter.numel()

    def views(
        self, values: torch.Tensor, parameters: Mapping[str, torch.nn.Parameter]
    ) -> dict[str, torch.Tensor]:
        """Return parts of a tensor like ``values`` by the names of what stands there."""
        places = {id(parameter): at for at, parameter in self._moved}
        return {
            name: values[places[id(one)] : places[id(one)] + one.numel()].view(one.shape)
            for name, one in parameters.items()
        }


def _matrix(values: torch.Tensor, at: int, shape: tuple[int, int]) -> torch.Tensor:
    part = values[..., at : at + shape[0] * shape[1]]
    return part.view(*values.shape[:-1], *shape)
