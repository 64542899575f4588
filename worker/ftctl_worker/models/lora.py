"""Our own forward passes of LoRA layers: a lean one for training, a mixed one for answering.

For training, peft keeps the parameters; only its general forward, with its checks and copies, gives
way to one function. Where several adapters are trained together, the rows of each lie beside each
other: one matmul with the base weights for all rows, and for each adapter two with its own. For
answering, each row of a batch has its own adapter: one matmul with the base weights for all rows,
and two batched matmuls with the rows' own A and B.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import Linear as PeftLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MixedLinear", "Mixture", "NotPlainError", "Shares", "is_plain", "slim", "slim_together"]


class NotPlainError(Exception):
    """A layer computes more than plain LoRA, so that adapters cannot be trained together."""


@dataclass
class Shares:
    """Which adapter the rows of a training batch belong to, shared by all layers of a model.

    ``parts`` names each adapter with its first row and the row after its last; None reaches to the
    end.
    """

    parts: tuple[tuple[str, int, int | None], ...] = ()

    def split(self, names: Sequence[str], owners: Sequence[int]) -> None:
        """Share a batch whose row n, of rows in the order of owners, has ``names[owners[n]]``."""
        self.parts = tuple(
            (names[owner], owners.index(owner), len(owners) - owners[::-1].index(owner))
            for owner in sorted(set(owners))
        )

    def give_all(self, name: str) -> None:
        """Give all rows one adapter."""
        self.parts = ((name, 0, None),)


def slim(model: Any) -> int:
    """Give the plain LoRA layers of a peft model a lean forward; return how many there were."""
    plain = [
        module
        for module in model.modules()
        if is_plain(module) and list(module.lora_A) == ["default"]
    ]
    for module in plain:
        module.forward = partial(_slim_forward, module)
    return len(plain)


def slim_together(model: Any, shares: Shares) -> None:
    """Let the rows of a batch use, and train, the adapters of a peft model that ``shares`` names.

    Raises:
        NotPlainError: a layer is no plain LoRA.
    """
    for module in model.modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        if not is_plain(module):
            raise NotPlainError(type(module).__name__)
        layer: Any = module
        layer.forward = partial(_forward_together, layer, shares)


def is_plain(module: Any) -> bool:
    """Tell whether a module is peft's LoRA over a linear layer, and nothing more."""
    return (
        type(module) is PeftLinear
        and type(module.base_layer) is nn.Linear
        and not module.lora_variant
        and not any(module.lora_bias.values())
        and all(isinstance(one, nn.Identity) for one in module.lora_dropout.values())
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


def _forward_together(
    module: Any, shares: Shares, x: torch.Tensor, *_: Any, **__: Any
) -> torch.Tensor:
    base = module.base_layer
    number, length = base.weight.dtype, x.shape[1]
    if x.dim() != 3 or (shares.parts and shares.parts[-1][2] not in {None, x.shape[0]}):
        raise NotPlainError("a layer that does not keep rows apart")
    mine = [part for part in shares.parts if part[0] in module.lora_A]
    places = [
        (start * length, None if end is None else end * length, module.scaling[name])
        for name, start, end in mine
    ]
    matrices = [
        side[name].weight.to(number)
        for name, _, _ in mine
        for side in (module.lora_A, module.lora_B)
    ]
    out: torch.Tensor = _LoraTogether.apply(x.to(number), base.weight, places, *matrices)
    return out if base.bias is None else out + base.bias


class _LoraTogether(torch.autograd.Function):
    """``x W'``, and ``scale (x A') B'`` for the rows of each adapter; gradients like above."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: Any, places: Any, *matrices: Any) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        out = flat @ weight.t()
        inners = []
        for (start, end, scale), a, b in zip(places, matrices[::2], matrices[1::2], strict=True):
            inners.append(flat[start:end] @ a.t())
            out[start:end].addmm_(inners[-1], b.t(), alpha=scale)
        ctx.save_for_backward(flat, weight, *matrices, *inners)
        ctx.places = places
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        flat, weight, *rest = ctx.saved_tensors
        count = len(ctx.places)
        matrices, inners = rest[: 2 * count], rest[2 * count :]
        (grad,) = grads
        flat_grad = grad.reshape(-1, grad.shape[-1])
        x_grad = flat_grad @ weight if ctx.needs_input_grad[0] else None
        gradients = []
        for at, (start, end, scale) in enumerate(ctx.places):
            a, b, own = matrices[2 * at], matrices[2 * at + 1], flat_grad[start:end]
            inner_grad = (own @ b).mul_(scale)
            gradients += [inner_grad.t() @ flat[start:end], (own.t() @ inners[at]).mul_(scale)]
            if x_grad is not None:
                x_grad[start:end].addmm_(inner_grad, a)
        shaped = None if x_grad is None else x_grad.view(*grad.shape[:-1], -1)
        return shaped, None, None, *gradients


@dataclass
class Mixture:
    """Which adapter each row of a batch uses, shared by all layers of a model.

    ``order`` of shape (adapters * rows of the most used one) lists rows by adapter, each filled up
    with row 0; ``back`` says where in there each row stands. None where one adapter serves all rows.
    ``stacked`` are the adapters that the layers hold beside each other. ``runs`` names each adapter
    with its first row and the row after its last, where the rows of each lie beside each other.
    """

    device: torch.device | None = None
    names: tuple[str, ...] = ()
    order: torch.Tensor | None = None
    back: torch.Tensor | None = None
    stacked: tuple[str, ...] = ()
    runs: tuple[tuple[str, int, int], ...] = ()

    def choose(self, slots: list[str]) -> None:
        """Give each row its adapter; unknown names use none."""
        names = set(slots)
        ends = [at for at, name in enumerate(slots, start=1) if slots[at : at + 1] != [name]]
        self.runs = tuple(
            (slots[end - 1], start, end)
            for start, end in zip((0, *ends[:-1]), ends, strict=True)
            if len(ends) == len(names)
        )
        if len(names) == 1:
            self.names, self.order, self.back = tuple(names), None, None
            return
        # The same adapters in another batch stay as they are stacked.
        if not names <= set(self.stacked):
            self.stacked = tuple(sorted(names))
        self.names = self.stacked
        by_name: dict[str, list[int]] = {name: [] for name in self.names}
        for row, name in enumerate(slots):
            by_name[name].append(row)
        width = max(map(len, by_name.values()))
        order = [rows + [0] * (width - len(rows)) for rows in by_name.values()]
        back = [0] * len(slots)
        for at, rows in enumerate(by_name.values()):
            for place, row in enumerate(rows):
                back[row] = at * width + place
        self.order = torch.tensor(order, device=self.device).view(-1)
        self.back = torch.tensor(back, device=self.device)


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
        _, length, inputs = x.shape
        if mixture.runs and length > 1:
            for name, start, end in mixture.runs:
                if (own := self._adapters.get(name)) is not None:
                    rows = out[start:end].view(-1, out.shape[-1])
                    rows.addmm_(x[start:end].reshape(-1, inputs) @ own[0], own[1])
            return out
        a, b = self._stack(mixture.names)
        by_adapter = x.index_select(0, mixture.order).view(len(mixture.names), -1, inputs)
        change = torch.bmm(torch.bmm(by_adapter, a), b).view(-1, length, out.shape[-1])
        return out.add_(change.index_select(0, mixture.back))

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
