"""What each label costs, from the states before it and the head of a model that stays as it is.

Logits are the widest thing of a pass. Here they are written once, and become their own gradient in
place; autograd would keep their logarithm beside them and make two more of their size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["costs_of", "costs_of_logits"]


def costs_of(
    head: Any, states: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of each label in nats, and whether the model ranks it first.

    Args:
        head: turns states into logits.
        states: of shape (labels, width).
        targets: token numbers of shape (labels,).
    """
    if _is_frozen_linear(head):
        losses, right = _Costs.apply(states, head.weight, head.bias, targets)
        return losses, right
    return costs_of_logits(head(states), targets)


def costs_of_logits(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same for logits of shape (labels, vocabulary)."""
    losses = functional.cross_entropy(logits.float(), targets, reduction="none")
    return losses, logits.detach().argmax(-1) == targets


class _Costs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: Any, bias: Any, targets: Any) -> Any:
        logits = functional.linear(states.to(weight.dtype), weight, bias).float()
        highest = logits.amax(-1, keepdim=True)
        own = logits.gather(1, targets[:, None])
        right = (own == highest)[:, 0]
        shares = logits.sub_(highest).exp_()
        sums = shares.sum(-1, keepdim=True)
        losses = (sums.log() + highest - own)[:, 0]
        if ctx.needs_input_grad[0]:
            shares.div_(sums).scatter_add_(1, targets[:, None], torch.full_like(own, -1.0))
            ctx.save_for_backward(shares, weight)
            ctx.number = states.dtype
        ctx.mark_non_differentiable(right)
        return losses, right

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        shares, weight = ctx.saved_tensors
        grad = (shares * grads[0][:, None]).to(weight.dtype)
        return (grad @ weight).to(ctx.number), None, None, None


def _is_frozen_linear(head: Any) -> bool:
    return type(head) is nn.Linear and not any(one.requires_grad for one in head.parameters())
