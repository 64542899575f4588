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

__all__ = ["Flat", "Low", "Plan", "Room", "Up"]


@dataclass(frozen=True)
class Up:
    """One LoRA B of shape (outputs, rank), and which columns of the outputs and ranks it has.

    The columns are (first, count) among those of all layers with the same input.
    """

    b: torch.Tensor
    outputs: tuple[int, int]
    ranks: tuple[int, int]


@dataclass(frozen=True)
class Low:
    """LoRA over linear layers with the same input: their A, one below the other, and each B."""

    a: torch.Tensor
    ups: tuple[Up, ...]
    scale: float


@dataclass(frozen=True)
class Plan:
    """Where the matrices of one :class:`Low` stand: A at ``at``, and each B with its columns."""

    at: int
    shape: tuple[int, int]
    ups: tuple[tuple[int, tuple[int, int], tuple[int, int], tuple[int, int]], ...]
    scale: float

    def view(self, values: torch.Tensor) -> Low:
        """Return the matrices in ``values`` of shape (numbers,)."""
        ups = (
            Up(_matrix(values, at, shape), outputs, ranks) for at, shape, outputs, ranks in self.ups
        )
        return Low(_matrix(values, self.at, self.shape), tuple(ups), self.scale)


class Room:
    """Where the numbers of adapters stand in a pass, and their gradients, ready to be used.

    The gradients still have to be multiplied by the scale of the adapter.
    """

    def __init__(
        self,
        plans: Sequence[Plan | None],
        values: torch.Tensor,
        gradients: torch.Tensor | None = None,
    ) -> None:
        """Look into ``values`` of shape (numbers,) or (adapters, numbers)."""
        self.values = values
        self.gradients = torch.empty_like(values) if gradients is None else gradients
        self.linears = tuple(
            None if plan is None else (plan.view(values), plan.view(self.gradients))
            for plan in plans
        )


class Flat:
    """One adapter, as one leaf of the graph; ``plans`` has one place for each linear layer."""

    def __init__(
        self, name: str, linears: Sequence[Sequence[tuple[Any, int]]], dtype: torch.dtype
    ) -> None:
        """Take over what peft holds under ``name``.

        Args:
            name: what peft calls the adapter.
            linears: peft's layers that read the same input, each with the first of its outputs
                among all of theirs.
            dtype: in what a pass computes.
        """
        self._name = name
        self._moved: list[tuple[int, torch.nn.Parameter]] = []
        self._size = 0
        own = [[one for one in some if name in one[0].lora_A] for some in linears]
        (self.scale,) = {layer.scaling[name] for some in own for layer, _ in some}
        self.plans = tuple(self._plan(some) if some else None for some in own)
        self.values = torch.nn.Parameter(torch.empty(self._size))
        plain = self.values.detach()
        for at, parameter in self._moved:
            view = plain[at : at + parameter.numel()].view(parameter.shape)
            view.copy_(parameter.detach())
            parameter.data = view
        self._room = Room(self.plans, plain.to(dtype))
        self._gradients = torch.empty_like(plain)

    def room(self) -> Room:
        """Return where the numbers stand in a pass, as they are now."""
        if self._room.values.dtype != self.values.dtype:
            self._room.values.copy_(self.values.detach())
        return self._room

    def collect(self) -> None:
        """Add the gradients of a pass to those of the leaf, in the same place at every step.

        A fresh tensor for each would cost a machine its page faults anew.
        """
        found = self._room.gradients
        if self.values.grad is None:
            self.values.grad = torch.mul(found, self.scale, out=self._gradients)
        else:
            self.values.grad.add_(found, alpha=self.scale)

    def by_name(
        self, values: torch.Tensor, parameters: Mapping[str, torch.nn.Parameter]
    ) -> dict[str, torch.Tensor]:
        """Return the parts of a tensor like ``values`` by the names of what stands there."""
        places = {id(parameter): at for at, parameter in self._moved}
        return {
            name: values[places[id(one)] : places[id(one)] + one.numel()].view(one.shape)
            for name, one in parameters.items()
        }

    def _plan(self, linears: Sequence[tuple[Any, int]]) -> Plan:
        start = self._size
        for layer, _ in linears:
            self._take(layer.lora_A[self._name].weight)
        ups, left = [], 0
        for layer, first in linears:
            b = layer.lora_B[self._name].weight
            outputs, rank = b.shape
            ups.append((self._size, (outputs, rank), (first, outputs), (left, rank)))
            self._take(b)
            left += rank
        return Plan(start, (left, linears[0][0].in_features), tuple(ups), self.scale)

    def _take(self, parameter: torch.nn.Parameter) -> None:
        self._moved.append((self._size, parameter))
        self._size += parameter.numel()


def _matrix(values: torch.Tensor, at: int, shape: tuple[int, int]) -> torch.Tensor:
    return values[at : at + shape[0] * shape[1]].view(shape)
