"""A decoder layer like Llama's over packed tokens, forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.training.llama_parts import swish, swish_back

if TYPE_CHECKING:
    import torch

    from ftctl_worker.training.attention import Attention, Cells
    from ftctl_worker.training.llama_parts import Linear, Norm
    from ftctl_worker.training.packing import Packing
    from ftctl_worker.training.spread import Spread

__all__ = ["Layer", "Pass"]

_QKV, _O, _GATE_UP, _DOWN = range(4)


@dataclass(frozen=True)
class Pass:
    """What the layers of one pass share."""

    packing: Packing
    spread: Spread
    cells: Cells


@dataclass(frozen=True)
class _Tape:
    x: torch.Tensor
    factor: torch.Tensor
    normed: torch.Tensor
    qkv_inners: list[torch.Tensor | None]
    attention: Any
    rest: Any


@dataclass(frozen=True)
class Layer:
    """Number ``number`` of a decoder; ``linears`` are q, k and v; o; gate and up; down.

    Where it ``is_last``, what follows its attention is computed for places only whose next token is
    learned.
    """

    number: int
    before_attention: Norm
    before_mlp: Norm
    linears: tuple[Linear, ...]
    attention: Attention
    is_last: bool

    def forward(self, x: torch.Tensor, it: Pass) -> tuple[torch.Tensor, _Tape]:
        """Return the layer's outputs for x (places, width), and what the way back needs."""
        normed, factor = self.before_attention.forward(x)
        qkv, inners = self.linears[_QKV].forward(normed, it.spread.of(self.number, _QKV))
        wanted, left = None, x
        if self.is_last:
            wanted, left = it.packing.learned, x.index_select(0, it.packing.learned)
        heads, tape = self.attention.forward(qkv, it.cells, wanted)
        out, rest = self._rest(heads, left, it.spread)
        return out, _Tape(x, factor, normed, inners, tape, rest)

    def backward(self, grad: torch.Tensor, it: Pass, tape: _Tape) -> torch.Tensor:
        """Return the gradient of x; the first layer only writes those of its adapters."""
        heads, grad = self._rest_back(grad, it.spread, tape.rest)
        if self.is_last:
            heads, grad = (_among(one, it.packing.learned, len(tape.x)) for one in (heads, grad))
        qkv = self.attention.backward(heads, tape.attention, it.cells)
        parts, linear = it.spread.of(self.number, _QKV), self.linears[_QKV]
        if self.number == 0:
            linear.end(qkv, tape.normed, parts, tape.qkv_inners)
            return grad
        normed = linear.backward(qkv, tape.normed, parts, tape.qkv_inners)
        return self.before_attention.backward(normed, tape.x, tape.factor, grad)

    def _rest(self, heads: torch.Tensor, x: torch.Tensor, spread: Spread) -> tuple[Any, Any]:
        """What follows attention: o, and the MLP."""
        o, gate_up, down = (
            spread.of(self.number, one, learned=self.is_last) for one in (_O, _GATE_UP, _DOWN)
        )
        middle, o_inners = self.linears[_O].forward(heads, o, add=x)
        normed, factor = self.before_mlp.forward(middle)
        both, gate_up_inners = self.linears[_GATE_UP].forward(normed, gate_up)
        share, product = swish(both)
        out, down_inners = self.linears[_DOWN].forward(product, down, add=middle)
        inners = (o_inners, gate_up_inners, down_inners)
        return out, (heads, middle, factor, normed, both, share, product, inners)

    def _rest_back(self, grad: torch.Tensor, spread: Spread, tape: Any) -> tuple[Any, Any]:
        """Return the gradients of heads and x."""
        heads, middle, factor, normed, both, share, product, inners = tape
        o, gate_up, down = (
            spread.of(self.number, one, learned=self.is_last) for one in (_O, _GATE_UP, _DOWN)
        )
        product_grad = self.linears[_DOWN].backward(grad, product, down, inners[2])
        both_grad = swish_back(product_grad, both, share)
        normed_grad = self.linears[_GATE_UP].backward(both_grad, normed, gate_up, inners[1])
        grad = self.before_mlp.backward(normed_grad, middle, factor, grad)
        return self.linears[_O].backward(grad, heads, o, inners[0]), grad


def _among(some: torch.Tensor, at: torch.Tensor, count: int) -> torch.Tensor:
    found = some.new_zeros(count, some.shape[-1])
    found[at] = some
    return found
