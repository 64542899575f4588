"""The parts of a decoder layer like Llama's, forwards and backwards, over packed tokens.

Autograd would take the same steps, but one node, one check and often one copy at a time; with thin
batches that costs more than the arithmetic. Only LoRA matrices and inputs have gradients here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.training.flat import Low
    from ftctl_worker.training.spread import Parts

__all__ = ["Linear", "Norm", "swish", "swish_back"]


@dataclass(frozen=True)
class Linear:
    """Linear layers that read the same input, as one: weight of shape (outputs, inputs)."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def forward(
        self, x: torch.Tensor, parts: Parts, add: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Return the outputs for x (places, inputs), on top of ``add``, and x A' of each part."""
        offset = self.bias if add is None else add
        weight = self.weight.t()
        out = x @ weight if offset is None else torch.addmm(offset, x, weight)
        if add is not None and self.bias is not None:
            out += self.bias
        inners: list[torch.Tensor | None] = []
        for low, own, outputs in zip(parts.lows, parts.cut(x), parts.cut(out), strict=True):
            inners.append(None if low is None else _low_forward(low[0], own, outputs))
        return out, inners

    def backward(
        self,
        grad: torch.Tensor,
        x: torch.Tensor,
        parts: Parts,
        inners: Sequence[torch.Tensor | None],
    ) -> torch.Tensor:
        """Write the gradients of each part's A and B, and return that of x."""
        x_grad = grad @ self.weight
        every = zip(
            parts.lows, parts.cut(grad), parts.cut(x), parts.cut(x_grad), inners, strict=True
        )
        for low, its_grad, own, own_grad, inner in every:
            if low is not None and inner is not None:
                inner_grad = _low_backward(*low, its_grad, own, inner)
                own_grad.addmm_(inner_grad, low[0].a, alpha=low[0].scale)
        return x_grad

    def end(
        self,
        grad: torch.Tensor,
        x: torch.Tensor,
        parts: Parts,
        inners: Sequence[torch.Tensor | None],
    ) -> None:
        """Write the gradients of each part's A and B where that of x is of no use."""
        for low, its_grad, own, inner in zip(
            parts.lows, parts.cut(grad), parts.cut(x), inners, strict=True
        ):
            if low is not None and inner is not None:
                _low_backward(*low, its_grad, own, inner)


def _low_forward(low: Low, x: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Add to the outputs of a part what its LoRA says, and return x A'."""
    inner = x @ low.a.t()
    for up in low.ups:
        _of(outputs, up.outputs).addmm_(_of(inner, up.ranks), up.b.t(), alpha=low.scale)
    return inner


def _low_backward(
    low: Low, gradients: Low, grad: torch.Tensor, x: torch.Tensor, inner: torch.Tensor
) -> torch.Tensor:
    """Write the gradients of A and B, but for the scale, and return that of x A'."""
    inner_grad = torch.empty_like(inner)
    for up, its in zip(low.ups, gradients.ups, strict=True):
        own = _of(grad, up.outputs)
        torch.mm(own, up.b, out=_of(inner_grad, up.ranks))
        torch.mm(own.t(), _of(inner, up.ranks), out=its.b)
    torch.mm(inner_grad.t(), x, out=gradients.a)
    return inner_grad


def _of(x: torch.Tensor, columns: tuple[int, int]) -> torch.Tensor:
    # Most often they are all of them, and each view is a small step more.
    return x if columns == (0, x.shape[-1]) else x.narrow(-1, *columns)


@dataclass(frozen=True)
class Norm:
    """A root mean square norm, computed in fp32 whatever the numbers are."""

    weight: torch.Tensor
    epsilon: float

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x (places, width) at its size, and by what it was multiplied (places, 1)."""
        wide = x.float()
        size = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        factor = size.square_().div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
        return (wide * factor).to(x.dtype).mul_(self.weight), factor

    def backward(
        self, grad: torch.Tensor, x: torch.Tensor, factor: torch.Tensor, add: torch.Tensor
    ) -> torch.Tensor:
        """Return the gradient of x, on top of ``add``; both ``grad`` and ``add`` are used up."""
        grad.mul_(self.weight)
        share = (grad * x).sum(-1, keepdim=True, dtype=torch.float32)
        share.mul_(factor**3).div_(-x.shape[-1])
        factor, share = factor.to(x.dtype), share.to(x.dtype)
        return add.addcmul_(grad, factor).addcmul_(x, share)


def swish(both: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for gate and up, side by side, the gate's share and the product."""
    gate, up = both.chunk(2, dim=-1)
    share = functional.silu(gate)
    return share, share * up


def swish_back(grad: torch.Tensor, both: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return the gradient of gate and up, side by side."""
    gate, up = both.chunk(2, dim=-1)
    found = torch.empty_like(both)
    gate_grad, up_grad = found.chunk(2, dim=-1)
    torch.mul(grad, share, out=up_grad)
    torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=gate_grad)
    return found
