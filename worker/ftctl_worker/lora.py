"""Our own forward passes of LoRA layers: a lean one for training, a mixed one for answering.

For training, peft keeps the parameters; only its general forward, with its checks and copies, gives
way to one function. For answering, each row of a batch has its own adapter: one matmul with the
base weights for all rows, and two batched matmuls with the rows' own A and B.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import Linear as PeftLinear
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MixedLinear", "Mixture", "slim"]


def slim(model: Any) -> int:
    """Give the plain LoRA layers of a peft model a lean forward; return how many there were."""
    plain = [module for module in model.modules() if _is_plain(module)]
    for module in plain:
        module.forward = partial(_slim_forward, module)
    return len(plain)


def _is_plain(module: Any) -> bool:
    return (
        type(module) is PeftLinear
        and type(module.base_layer) is nn.Linear
        and list(module.lora_A) == ["default"]
        and not module.lora_variant
        and not module.lora_bias.get("default")
        and isinstance(module.lora_dropout["default"], nn.Identity)
    )


def _slim_forward(module: Any, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    base = module.base_layer
    if module.disable_adapters:
        return functional.linear(x, base.weight, base.bias)
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    scale = module.scaling["default"]
    casts = torch.is_autocast_enabled(x.device.type) and base.weight.dtype == torch.float32
    if casts or base.bias is not None:
        inner = functional.linear(x.to(a.dtype), a) * scale
        return functional.linear(x, base.weight, base.bias) + functional.linear(inner, b)
    number = base.weight.dtype
    result: torch.Tensor = _LoraLinear.apply(
        x.to(number), base.weight, a.to(number), b.to(number), scale
    )
    return result


class _LoraLinear(torch.autograd.Function):
    """``x W' + scale (x A') B'`` with gradients for x, A and B only."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: Any, a: Any, b: Any, scale: float) -> Any:  # noqa: PLR0917
        flat = x.reshape(-1, x.shape[-1])
        inner = flat @ a.t()
        out = torch.addmm(flat @ weight.t(), inner, b.t(), alpha=scale)
        ctx.save_for_backward(flat, weight, a, b, inner)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        flat, weight, a, b, inner = ctx.saved_tensors
        (grad,) = grads
        flat_grad = grad.reshape(-1, grad.shape[-1])
        inner_grad = (flat_grad @ b).mul_(ctx.scale)
        b_grad = (flat_grad.t() @ inner).mul_(ctx.scale)
        a_grad = inner_grad.t() @ flat
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = torch.addmm(flat_grad @ weight, inner_grad, a).view(*grad.shape[:-1], -1)
        return x_grad, None, a_grad, b_grad, None


@dataclass
class Mixture:
    """Which adapter each row of a batch uses, shared by all layers of a model.

    ``order`` of shape (adapters, rows of the most used one) lists rows by adapter, filled up with
    row 0; ``back`` says where in there each row stands. None where one adapter serves all rows.
    """

    names: tuple[str, ...] = ()
    order: torch.Tensor | None = None
    back: torch.Tensor | None = None
    slots: list[str] = field(default_factory=list)

    def choose(self, slots: Sequence[str], *, going_on: bool = False) -> None:
        """Give each row its adapter; unknown names use none."""
        self.slots = list(slots)
        names = set(self.slots)
        if len(names) == 1:
            self.names, self.order, self.back = tuple(names), None, None
            return
        if not going_on:
            self.names = tuple(sorted(names))
        by_name: dict[str, list[int]] = {name: [] for name in self.names}
        for row, name in enumerate(self.slots):
            by_name[name].append(row)
        width = max(map(len, by_name.values()))
        order = [rows + [0] * (width - len(rows)) for rows in by_name.values()]
        back = [0] * len(self.slots)
        for at, rows in enumerate(by_name.values()):
            for place, row in enumerate(rows):
                back[row] = at * width + place
        self.order, self.back = torch.tensor(order), torch.tensor(back)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows of the batch."""
        self.choose([self.slots[row] for row in rows], going_on=True)


class MixedLinear(nn.Module):
    """A linear layer whose rows each use an adapter of their own, or none."""

    def __init__(self, base: nn.Linear, mixture: Mixture) -> None:
        """Stand in for ``base``, without any adapter yet."""
        super().__init__()
        self.base = base
        self._mixture = mixture
        self._adapters: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._stacked: tuple[tuple[str, ...], torch.Tensor, torch.Tensor] | None = None

    def put(self, name: str, a: torch.Tensor, b: torch.Tensor, scale: float) -> None:
        """Add an adapter of shapes (rank, inputs) and (outputs, rank)."""
        like = self.base.weight
        a = a.to(device=like.device, dtype=like.dtype)
        b = (b * scale).to(device=like.device, dtype=like.dtype)
        self._adapters[name] = (a.t().contiguous(), b.t().contiguous())
        self._stacked = None

    def drop(self, name: str) -> None:
        """Forget an adapter."""
        self._adapters.pop(name, None)
        self._stacked = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output for ``x`` of shape (rows, length, inputs)."""
        out: torch.Tensor = self.base(x)
        mixture = self._mixture
        if mixture.order is None or mixture.back is None:
            own = self._adapters.get(mixture.names[0]) if mixture.names else None
            return out if own is None else out + x @ own[0] @ own[1]
        a, b = self._stack(mixture.names)
        _, length, inputs = x.shape
        by_adapter = x[mixture.order].view(len(mixture.names), -1, inputs)
        change = torch.bmm(torch.bmm(by_adapter, a), b)
        return out + change.view(-1, length, change.shape[-1])[mixture.back]

    def _stack(self, names: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the adapters of a batch beside each other, zeros where there is none."""
        if self._stacked is None or self._stacked[0] != names:
            rank = max(a.shape[1] for a, _ in self._adapters.values())
            like = self.base.weight
            a = like.new_zeros(len(names), like.shape[1], rank)
            b = like.new_zeros(len(names), rank, like.shape[0])
            for at, name in enumerate(names):
                if (own := self._adapters.get(name)) is not None:
                    a[at, :, : own[0].shape[1]] = own[0]
                    b[at, : own[1].shape[0]] = own[1]
            self._stacked = (names, a, b)
        return self._stacked[1], self._stacked[2]
