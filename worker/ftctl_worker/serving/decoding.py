"""Decoding: rows with one cache, prompts padded on the left, each row by its own settings.

Rows join between two tokens, once their prompts are read, and each leaves when it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.serving.kv_cache import attends_to_all, merged, new_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import DynamicCache

    from ftctl_worker.serving.row_state import RowState

__all__ = ["Decoder", "Prefix", "shared_length"]

_LEAST_PREFIX = 16


@dataclass
class Prefix:
    """Keys and values of the last prompt's beginning, one pair per layer, for reuse."""

    ids: list[int] = field(default_factory=list)
    layers: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)


@dataclass
class _Batch:
    """Rows with their cache, mask of shape (rows, width) and next position of shape (rows, 1)."""

    rows: list[RowState]
    cache: DynamicCache
    mask: torch.Tensor
    positions: torch.Tensor


class Decoder:
    """Answers rows together. The answer to a row does not depend on the rows beside it."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        eos_ids: frozenset[int],
        pad_id: int,
        choose: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Decode with a model; ``choose`` is told the adapter of each row of a coming batch."""
        self._model = model
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._pad_id = pad_id
        self._choose = choose or (lambda _: None)
        self._device = next(model.parameters()).device
        self._batch: _Batch | None = None

    @property
    def rows(self) -> Sequence[RowState]:
        """The rows that are not answered yet."""
        return () if self._batch is None else self._batch.rows

    @property
    def is_on_cuda(self) -> bool:
        """Whether a pass costs as much as thousands of tokens."""
        return self._device.type == "cuda"

    @property
    def can_join(self) -> bool:
        """Whether rows may join now."""
        return self._batch is None or attends_to_all(self._model.config)

    @torch.inference_mode()
    def join(self, rows: Sequence[RowState], prefix: Prefix | None = None) -> None:
        """Read prompts and choose their first tokens; what has not ended goes on with the others.

        A prompt that several rows of one adapter have is read once.
        ``prefix`` is read and renewed; None for models whose cache cannot be cut, and for rows of
        several adapters.
        """
        fresh = self._read(rows, prefix)
        self._batch = _joined(self._model, self._batch, fresh)
        if self.rows:
            self._choose([row.slot for row in self.rows])

    @torch.inference_mode()
    def step(self) -> None:
        """Give every row its next token."""
        batch = self._batch
        if batch is None:
            return
        last = torch.tensor([[row.new_ids[-1]] for row in batch.rows], device=self._device)
        batch.mask = torch.cat([batch.mask, batch.mask.new_ones(len(batch.rows), 1)], dim=1)
        logits = self._forward(last, batch.mask, batch.positions, batch.cache)
        batch.positions = batch.positions + 1
        count = len(batch.rows)
        self._batch = self._accept(batch, logits)
        if len(self.rows) not in {0, count}:
            self._choose([row.slot for row in self.rows])

    def _read(self, rows: Sequence[RowState], prefix: Prefix | None) -> _Batch | None:
        prompts: dict[tuple[str, tuple[int, ...]], int] = {}
        places = [prompts.setdefault((row.slot, tuple(row.ids)), len(prompts)) for row in rows]
        readers = [rows[places.index(place)] for place in range(len(prompts))]
        self._choose([row.slot for row in readers])
        cache, known = self._start(readers, prefix)
        rest = [row.ids[known:] for row in readers]
        width = max(map(len, rest))
        padded = [[self._pad_id] * (width - len(ids)) + ids for ids in rest]
        real = [[1] * known + [0] * (width - len(ids)) + [1] * len(ids) for ids in rest]
        mask = torch.tensor(real, device=self._device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, known:]
        ids = torch.tensor(padded, device=self._device)
        logits = self._forward(ids, mask, positions, cache)
        if len(readers) == 1 and prefix is not None:
            _remember(prefix, readers[0].ids, cache)
        if len(readers) < len(rows):
            chosen = torch.tensor(places, device=self._device)
            cache.batch_select_indices(chosen)
            mask, positions, logits = mask[chosen], positions[chosen], logits[chosen]
        for row in rows:
            row.known = known
        return self._accept(_Batch(list(rows), cache, mask, positions[:, -1:] + 1), logits)

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        """Return the logits of the next tokens, of shape (rows, vocabulary)."""
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _accept(self, batch: _Batch, logits: torch.Tensor) -> _Batch | None:
        """Choose the next tokens, and drop the rows that end with them."""
        tokens = _next_tokens(batch.rows, logits)
        for number, (row, token) in enumerate(zip(batch.rows, tokens, strict=True)):
            row.note(token, logits[number], self._tokenizer, self._eos_ids)
            row.accept(token, self._tokenizer, self._eos_ids)
        kept = [number for number, row in enumerate(batch.rows) if row.finish_reason is None]
        if not kept:
            return None
        if len(kept) < len(batch.rows):
            chosen = torch.tensor(kept, device=self._device)
            batch.cache.batch_select_indices(chosen)
            batch.mask, batch.positions = batch.mask[chosen], batch.positions[chosen]
            batch.rows = [batch.rows[number] for number in kept]
        return batch

    def _start(self, rows: Sequence[RowState], prefix: Prefix | None) -> tuple[DynamicCache, int]:
        """Return a cache that holds what all prompts share, and how many tokens that is."""
        cache = new_cache(self._model)
        if prefix is None:
            return cache, 0
        # At least one token of every prompt has to be left: its logits choose the first new one.
        common = min(min(shared_length(rows[0].ids, row.ids), len(row.ids) - 1) for row in rows)
        known = min(common, shared_length(rows[0].ids, prefix.ids))
        if len(rows) > 1 and common >= _LEAST_PREFIX and known < 0.8 * common:
            self._compute(rows[0].ids[:common], prefix)
            known = common
        if known < _LEAST_PREFIX:
            return cache, 0
        for number, (keys, values) in enumerate(prefix.layers):
            shape = (len(rows), -1, -1, -1)
            shared = keys[:, :, :known].expand(shape), values[:, :, :known].expand(shape)
            cache.update(*shared, number)
        return cache, known

    def _compute(self, ids: list[int], prefix: Prefix) -> None:
        cache = new_cache(self._model)
        self._model(
            input_ids=torch.tensor([ids], device=self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        _remember(prefix, ids, cache)


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common at their beginning."""
    for at, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return at
    return min(len(first), len(second))


def _joined(model: Any, batch: _Batch | None, fresh: _Batch | None) -> _Batch | None:
    if batch is None or fresh is None:
        return batch or fresh
    both = (batch, fresh)
    skip = [_empty_columns(one.mask) for one in both]
    masks = [one.mask[:, gone:] for one, gone in zip(both, skip, strict=True)]
    width = max(mask.shape[1] for mask in masks)
    filled = [torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in masks]
    return _Batch(
        rows=batch.rows + fresh.rows,
        cache=merged(model, [one.cache for one in both], skip),
        mask=torch.cat(filled),
        positions=torch.cat([one.positions for one in both]),
    )


def _empty_columns(mask: torch.Tensor) -> int:
    """Return how many columns at the beginning no row uses any more."""
    return int(mask.any(0).int().argmax())


def _remember(prefix: Prefix, ids: list[int], cache: Any) -> None:
    prefix.ids = list(ids)
    prefix.layers = [(layer.keys, layer.values) for layer in cache.layers]


def _next_tokens(rows: Sequence[RowState], logits: torch.Tensor) -> list[int]:
    if any(row.is_adjusted for row in rows):
        logits = torch.stack([row.adjust(one) for row, one in zip(rows, logits, strict=True)])
    logits = _allowed(rows, logits)
    tokens: list[int] = logits.argmax(-1).tolist()
    for number, row in enumerate(rows):
        if row.temperature > 0:
            tokens[number] = row.pick(logits[number])
    return tokens


def _allowed(rows: Sequence[RowState], logits: torch.Tensor) -> torch.Tensor:
    """Return logits without the tokens that the form of an answer forbids."""
    bound = {
        number: row.constraint.forbidden(logits.shape[-1])
        for number, row in enumerate(rows)
        if row.constraint is not None
    }
    if not bound:
        return logits
    forbidden = torch.stack(list(bound.values())).to(logits.device)
    numbers = torch.tensor(list(bound), device=logits.device)
    held = logits[numbers].masked_fill(forbidden, float("-inf"))
    return logits.index_copy(0, numbers, held)
