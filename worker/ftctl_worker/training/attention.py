"""Causal attention over packed tokens, forwards and backwards.

Each head of each slot has a cell of the heads' width. The cells of all q come first, then those of
k and v; a group's are of shape (rows, heads, length, width). So one gather puts what a matmul wrote
where attention reads it, queries that share keys lie below each other, and angles turn whole lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ftctl_worker.training.packing import Group, Packing

__all__ = ["SCORES_KEPT", "Attention", "Cells"]

# Up to this length two matmuls with all scores in memory are faster than kernels made for long rows.
SCORES_KEPT = 128
_attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_attend_back = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Cells:
    """Where the heads of the places of a pass are; heads of q, k and v in this order.

    ``take`` says for each cell which head of which place it holds, ``give`` for each head of each
    place its cell. ``ask`` and ``answer`` (places, heads of q) are the same among q alone. ``cos``
    and ``sin`` (cells of q and k, width) are the angles, the first half of ``sin`` negated.
    ``masks`` has what is added to the scores of each group; None where they are not kept.
    """

    packing: Packing
    take: torch.Tensor
    give: torch.Tensor
    ask: torch.Tensor
    answer: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    masks: tuple[torch.Tensor | None, ...]


@dataclass(frozen=True)
class Attention:
    """Attention whose ``kv_heads`` heads of keys and values are shared by ``heads`` of queries."""

    heads: int
    kv_heads: int
    width: int
    scale: float

    def cells(self, packing: Packing, cos: torch.Tensor, sin: torch.Tensor) -> Cells:
        """Return the cells of a pass; ``cos`` and ``sin`` (places, width) are those of places."""
        kinds = (self.heads, self.kv_heads, self.kv_heads)
        within = torch.arange(len(packing.to_slots)) - packing.row_starts
        first, seats = 0, []
        for count in kinds:
            above = torch.arange(count) * packing.row_lengths[:, None]
            seats.append(first + (count * packing.row_starts + within)[:, None] + above)
            first += count * len(within)
        every = torch.cat(seats, 1)
        take = _put(every, _each(packing.to_slots, sum(kinds)))
        owner = take[: (self.heads + self.kv_heads) * len(within)] // sum(kinds)
        half = self.width // 2
        return Cells(
            packing=packing,
            take=take,
            give=every[packing.to_places].view(-1),
            ask=_put(seats[0], _each(packing.to_slots, self.heads)),
            answer=seats[0][packing.to_places],
            cos=cos.index_select(0, owner),
            sin=torch.cat((-sin[:, :half], sin[:, half:]), 1).index_select(0, owner),
            masks=tuple(self._mask(one, cos.dtype) for one in packing.groups),
        )

    def forward(
        self, qkv: torch.Tensor, cells: Cells, places: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Any]:
        """Return the outputs (places, all heads of q) for q, k and v side by side, and a tape.

        With ``places``, only theirs.
        """
        held = qkv.view(-1, self.width).index_select(0, cells.take)
        _turn(held[: len(cells.cos)], cells.cos, cells.sin)
        out = held.new_empty(len(cells.ask), self.width)
        kept = []
        for group, mask in zip(cells.packing.groups, cells.masks, strict=True):
            q, k, v = self._lines(held, group, cells)
            mine = self._line(out, group)
            if mask is None:
                answers, sums = _attend(*self._apart(group, q, k, v), **self._how)
                mine.copy_(answers.reshape(mine.shape))
                kept.append(sums)
            else:
                scores = torch.baddbmm(mask, q, k.mT, alpha=self.scale)
                kept.append(torch.softmax(scores, -1))
                torch.bmm(kept[-1], v, out=mine)
        answer = cells.answer if places is None else cells.answer[places]
        heads = out.index_select(0, answer.view(-1)).view(len(answer), -1)
        return heads, (held, out, kept)

    def backward(self, grad: torch.Tensor, tape: Any, cells: Cells) -> torch.Tensor:
        """Return the gradient of q, k and v side by side for that of the outputs of all places."""
        held, out, kept = tape
        asked = grad.view(-1, self.width).index_select(0, cells.ask)
        found = torch.empty_like(held)
        for group, mask, seen in zip(cells.packing.groups, cells.masks, kept, strict=True):
            q, k, v = self._lines(held, group, cells)
            q_grad, k_grad, v_grad = self._lines(found, group, cells)
            mine = self._line(asked, group)
            if mask is None:
                read = self._apart(group, mine, q, k, v, self._line(out, group))
                grads = _attend_back(*read, seen, **self._how)
                for one, its in zip(grads, (q_grad, k_grad, v_grad), strict=True):
                    # Heads of keys add up what the heads of queries that share them say.
                    torch.sum(one.reshape(len(its), -1, *its.shape[1:]), 1, out=its)
            else:
                torch.bmm(seen.mT, mine, out=v_grad)
                shares = torch.bmm(mine, v.mT)
                scores = torch._softmax_backward_data(shares, seen, -1, seen.dtype)
                torch.baddbmm(q_grad, scores, k, beta=0, alpha=self.scale, out=q_grad)
                torch.baddbmm(k_grad, scores.mT, q, beta=0, alpha=self.scale, out=k_grad)
        _turn_back(found[: len(cells.cos)], cells.cos, cells.sin)
        return found.index_select(0, cells.give).view(len(grad), -1)

    @property
    def _how(self) -> dict[str, Any]:
        return {"dropout_p": 0.0, "is_causal": True, "scale": self.scale}

    def _lines(self, cells: torch.Tensor, group: Group, whole: Cells) -> list[torch.Tensor]:
        """Return a group's q, k and v, as views; a line is what shares a head of keys.

        They are of shape (lines, heads of the line * length, width).
        """
        found, first = [], 0
        for count in (self.heads, self.kv_heads, self.kv_heads):
            part = cells[first + count * group.start : first + count * group.end]
            found.append(part.view(group.rows * self.kv_heads, -1, self.width))
            first += count * len(whole.packing.to_slots)
        return found

    def _line(self, cells: torch.Tensor, group: Group) -> torch.Tensor:
        """Return a group's part of what q alone has, as a view like q."""
        part = cells[self.heads * group.start : self.heads * group.end]
        return part.view(group.rows * self.kv_heads, -1, self.width)

    def _apart(self, group: Group, *lines: torch.Tensor) -> list[torch.Tensor]:
        """Return lines as (rows, heads of q, length, width)."""
        shape = (group.rows * self.kv_heads, -1, group.length, self.width)
        each = (one.view(shape) for one in lines)
        shared = (one.expand(-1, self.heads // self.kv_heads, -1, -1) for one in each)
        return [one.reshape(group.rows, self.heads, -1, self.width) for one in shared]

    def _mask(self, group: Group, dtype: torch.dtype) -> torch.Tensor | None:
        if group.length > SCORES_KEPT or dtype != torch.float32:
            return None
        mask = torch.full((group.length, group.length), -torch.inf).triu_(1)
        return mask.repeat(self.heads // self.kv_heads, 1)


def _each(numbers: torch.Tensor, count: int) -> torch.Tensor:
    return (numbers[:, None] * count + torch.arange(count)).view(-1)


def _put(at: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(values).index_copy_(0, at.view(-1), values)


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Turn cells by their angles, in place."""
    other = x.roll(x.shape[-1] // 2, -1)
    x.mul_(cos).addcmul_(other, sin)


def _turn_back(grad: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Turn a gradient as :func:`_turn` would turn it the other way, in place."""
    other = (grad * sin).roll(grad.shape[-1] // 2, -1)
    grad.mul_(cos).add_(other)
