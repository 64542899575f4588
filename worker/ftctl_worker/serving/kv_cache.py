"""Keys and values of the rows of a batch: room to grow in place, and batches that become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["attends_to_all", "merged", "new_cache"]

_ROOM = 64


class _RoomyLayer(DynamicLayer):
    """A layer of shape (rows, heads, length, size) in buffers whose length is a multiple of 64.

    A token is written in place: nothing is copied for it, and few shapes are ever asked for.
    """

    _buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        known = self.get_seq_length()
        end = known + key_states.shape[2]
        keys, values = self._with_room(key_states, value_states, known, end)
        keys[:, :, known:end] = key_states
        values[:, :, known:end] = value_states
        used = keys[:, :, :end], values[:, :, :end]
        self.keys, self.values = used
        return used

    def put(self, keys: torch.Tensor, values: torch.Tensor, length: int) -> None:
        """Take buffers of which ``length`` is used."""
        self.lazy_initialization(keys, values)
        self._buffers = keys, values
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self._buffers is not None:
            keys, values = self._buffers
            self.put(keys[indices], values[indices], self.get_seq_length())

    def _with_room(
        self, keys: torch.Tensor, values: torch.Tensor, known: int, end: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._buffers is None or end > self._buffers[0].shape[2]:
            fresh = _buffer(keys, len(keys), end), _buffer(values, len(values), end)
            if known:
                for buffer, used in zip(fresh, (self.keys, self.values), strict=True):
                    buffer[:, :, :known] = cast("torch.Tensor", used)
            self._buffers = fresh
        return self._buffers


def new_cache(model: Any) -> DynamicCache:
    """Return an empty cache for a model."""
    cache = DynamicCache(config=model.config)
    if attends_to_all(model.config):
        cache.layers = [_RoomyLayer() for _ in cache.layers]
    return cache


def attends_to_all(config: Any) -> bool:
    """Tell whether every layer attends to everything before it, so that a cache can be cut."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds == {"full_attention"} and not getattr(config, "sliding_window", None)


def merged(model: Any, caches: Sequence[DynamicCache], skip: Sequence[int]) -> DynamicCache:
    """Return one cache with the rows of several, filled up at their beginnings to one length.

    The first ``skip[n]`` places of cache n hold nothing of any row and are left out.
    """
    lengths = [cache.get_seq_length() - gone for cache, gone in zip(caches, skip, strict=True)]
    whole = new_cache(model)
    for number, layer in enumerate(cast("list[_RoomyLayer]", whole.layers)):
        keys, values = (
            _beside([getattr(cache.layers[number], side) for cache in caches], lengths)
            for side in ("keys", "values")
        )
        layer.put(keys, values, max(lengths))
    return whole


def _beside(parts: Sequence[torch.Tensor], lengths: Sequence[int]) -> torch.Tensor:
    """Put the last ``lengths[n]`` places of each part below each other, ends in line."""
    end = max(lengths)
    buffer = _buffer(parts[0], sum(map(len, parts)), end)
    at = 0
    for part, length in zip(parts, lengths, strict=True):
        buffer[at : at + len(part), :, end - length : end] = part[:, :, -length:]
        at += len(part)
    return buffer


def _buffer(like: torch.Tensor, rows: int, length: int) -> torch.Tensor:
    room = -(-(length + 1) // _ROOM) * _ROOM
    return like.new_zeros(rows, like.shape[1], room, like.shape[3])
