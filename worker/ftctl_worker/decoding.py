"""Decoding one batch: prompts padded on the left, one cache, each row by its own settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import DynamicCache

from ftctl_worker.replies import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Prefix", "RowState", "decode", "shared_length"]

_LEAST_PREFIX = 16
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass
class RowState:
    """One conversation being answered.

    ``emit`` gets each piece of text as soon as it is certain, and what is known of its tokens;
    ``is_cancelled`` is asked after every token. ``top_logprobs`` None keeps no log probabilities.
    """

    ids: list[int]
    max_new: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    emit: Callable[[str, tuple[TokenLogprob, ...]], None]
    is_cancelled: Callable[[], bool]
    new_ids: list[int] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None
    top_logprobs: int | None = None
    _logprobs: list[TokenLogprob] = field(default_factory=list)
    _emitted: int = 0
    _generator: torch.Generator | None = None

    def pick(self, logits: torch.Tensor) -> int:
        """Choose a token from logits of shape (vocabulary,)."""
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.seed)
        weights = torch.softmax(logits.cpu() / self.temperature, -1)
        if self.top_p < 1:
            ordered, places = weights.sort(descending=True)
            beyond = ordered.cumsum(-1) - ordered > self.top_p
            weights[places[beyond]] = 0
        return int(torch.multinomial(weights, 1, generator=self._generator))

    def accept(self, token: int, tokenizer: Any, eos_ids: frozenset[int]) -> None:
        """Take the next token, emit what is certain, and see whether the answer ends."""
        self.new_ids.append(token)
        text = tokenizer.decode(self.new_ids, skip_special_tokens=True)
        if token in eos_ids or self.is_cancelled():
            self._finish("stop", text)
            return
        if (cut := _first(text, self.stop)) is not None:
            self._finish("stop", text[:cut])
        elif len(self.new_ids) >= self.max_new:
            self._finish("length", text)
        else:
            self._emit(text[: _certain(text, self.stop)])

    def note(
        self, token: int, logits: torch.Tensor, tokenizer: Any, eos_ids: frozenset[int]
    ) -> None:
        """Keep the log probabilities of a token, where they were asked for."""
        if self.top_logprobs is None or token in eos_ids:
            return
        likely = torch.log_softmax(logits, -1)
        values, ids = likely.topk(max(1, self.top_logprobs))
        top = [
            (tokenizer.decode([one]), value)
            for one, value in zip(ids.tolist(), values.tolist(), strict=True)
        ][: self.top_logprobs]
        text = tokenizer.decode([token])
        self._logprobs.append(TokenLogprob(text, float(likely[token]), tuple(top)))

    def _finish(self, reason: Literal["stop", "length"], text: str) -> None:
        self.finish_reason = reason
        self._emit(text)
        if self._logprobs:
            self.emit("", tuple(self._logprobs))
            self._logprobs.clear()

    def _emit(self, text: str) -> None:
        if len(text) > self._emitted:
            self.emit(text[self._emitted :], tuple(self._logprobs))
            self._logprobs.clear()
            self._emitted = len(text)


@dataclass
class Prefix:
    """Keys and values of the last prompt's beginning, one pair per layer, for reuse."""

    ids: list[int] = field(default_factory=list)
    layers: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)


@torch.inference_mode()
def decode(
    model: Any,
    tokenizer: Any,
    rows: Sequence[RowState],
    *,
    eos_ids: frozenset[int],
    pad_id: int,
    prefix: Prefix | None = None,
    keep: Callable[[Sequence[int]], None] | None = None,
) -> int:
    """Answer all rows together, and return how many prompt tokens of each were reused.

    The answer to a row does not depend on the rows beside it. ``prefix`` is read and renewed;
    None for models whose cache cannot be cut. ``keep`` is told which rows go on whenever some end.
    """
    device = next(model.parameters()).device
    cache, known = _start(model, rows, prefix, device)
    rest = [row.ids[known:] for row in rows]
    width = max(map(len, rest))
    padded = [[pad_id] * (width - len(ids)) + ids for ids in rest]
    real = [[1] * known + [0] * (width - len(ids)) + [1] * len(ids) for ids in rest]
    ids = torch.tensor(padded, device=device)
    mask = torch.tensor(real, device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, known:]
    alive = list(rows)
    while True:
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        if len(rows) == 1 and prefix is not None and not rows[0].new_ids:
            _remember(prefix, rows[0].ids, cache)
        logits = output.logits[:, -1].float()
        tokens = _next_tokens(alive, logits)
        for number, (row, token) in enumerate(zip(alive, tokens, strict=True)):
            row.note(token, logits[number], tokenizer, eos_ids)
            row.accept(token, tokenizer, eos_ids)
        kept = [number for number, row in enumerate(alive) if row.finish_reason is None]
        if not kept:
            return known
        if len(kept) < len(alive):
            chosen = torch.tensor(kept, device=device)
            cache.batch_select_indices(chosen)
            if keep is not None:
                keep(kept)
            mask, positions = mask[chosen], positions[chosen]
            alive = [alive[number] for number in kept]
        ids = torch.tensor([[row.new_ids[-1]] for row in alive], device=device)
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        positions = positions[:, -1:] + 1


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common at their beginning."""
    for at, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return at
    return min(len(first), len(second))


def _start(
    model: Any, rows: Sequence[RowState], prefix: Prefix | None, device: torch.device
) -> tuple[DynamicCache, int]:
    """Return a cache that already holds what all prompts share, and how many tokens that is."""
    cache = DynamicCache(config=model.config)
    if prefix is None:
        return cache, 0
    # At least one token of every prompt has to be left: its logits choose the first new one.
    common = min(min(shared_length(rows[0].ids, row.ids), len(row.ids) - 1) for row in rows)
    known = min(common, shared_length(rows[0].ids, prefix.ids))
    if len(rows) > 1 and common >= _LEAST_PREFIX and known < 0.8 * common:
        _compute(model, rows[0].ids[:common], prefix, device)
        known = common
    if known < _LEAST_PREFIX:
        return cache, 0
    for number, (keys, values) in enumerate(prefix.layers):
        shape = (len(rows), -1, -1, -1)
        cache.update(keys[:, :, :known].expand(shape), values[:, :, :known].expand(shape), number)
    return cache, known


def _compute(model: Any, ids: list[int], prefix: Prefix, device: torch.device) -> None:
    cache = DynamicCache(config=model.config)
    model(
        input_ids=torch.tensor([ids], device=device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    _remember(prefix, ids, cache)


def _remember(prefix: Prefix, ids: list[int], cache: Any) -> None:
    prefix.ids = list(ids)
    prefix.layers = [(layer.keys, layer.values) for layer in cache.layers]


def _next_tokens(rows: Sequence[RowState], logits: torch.Tensor) -> list[int]:
    tokens: list[int] = logits.argmax(-1).tolist()
    for number, row in enumerate(rows):
        if row.temperature > 0:
            tokens[number] = row.pick(logits[number])
    return tokens


def _first(text: str, stops: tuple[str, ...]) -> int | None:
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


def _certain(text: str, stops: tuple[str, ...]) -> int:
    """Return how much of ``text`` no later token can change or turn into a stop string."""
    end = len(text.rstrip(_REPLACEMENT))
    for stop in stops:
        for size in range(min(len(stop) - 1, end), 0, -1):
            if text[:end].endswith(stop[:size]):
                end -= size
                break
    return end
