"""Decoders like Llama's, trained over packed tokens without autograd between their layers.

What transformers computes, in fewer and larger steps: no place for what fills rows up, q, k and v
as one matmul and gate and up as another, all numbers of an adapter in one tensor, and the end of
the last layer only where a token is learned. It stands in for a model only where both give the same
hidden states.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from ftctl_worker.models.lora import Shares, is_plain
from ftctl_worker.training.attention import Attention
from ftctl_worker.training.batches import in_passes
from ftctl_worker.training.flat import Flat
from ftctl_worker.training.llama_layer import Layer, Pass
from ftctl_worker.training.llama_parts import Linear, Norm
from ftctl_worker.training.packing import pack
from ftctl_worker.training.rendering import Row
from ftctl_worker.training.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftctl_worker.training.batches import Batch
    from ftctl_worker.training.packing import Packing

__all__ = ["Lean", "lean"]

_KNOWN = frozenset({"llama", "mistral", "qwen2"})
_GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
_APART = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


def lean(model: Any, names: Sequence[str], shares: Shares | None = None) -> Lean | None:
    """Return a stand-in for the decoder of a model of peft; None where there is none.

    Only on a CPU, where many small steps cost more than their arithmetic.

    Args:
        model: a model of peft.
        names: its adapters, as they were made: B is zero.
        shares: which rows of a batch use which adapter; the first one by default.
    """
    if shares is None:
        shares = Shares()
        shares.give_all(names[0])
    causal = model.get_base_model()
    decoder = getattr(causal, causal.base_model_prefix, None)
    config = causal.config
    if (
        config.model_type not in _KNOWN
        or getattr(config, "sliding_window", None) is not None
        or config.hidden_act != "silu"
        or causal.dtype not in _APART
        or causal.device.type != "cpu"
        or decoder is None
        or not isinstance(causal.get_output_embeddings(), nn.Linear)
    ):
        return None
    linears = [one for layer in decoder.layers for some in _linears(layer) for one in some]
    tuned = [one for one in causal.modules() if isinstance(one, BaseTunerLayer)]
    if not all(type(one) is nn.Linear or is_plain(one) for one in linears) or set(tuned) - set(
        linears
    ):
        return None
    found = Lean(causal, decoder, names, shares)
    return found if found.is_like(decoder) else None


class Lean:
    """The decoder of a model, and the adapters that are trained."""

    def __init__(self, causal: Any, decoder: Any, names: Sequence[str], shares: Shares) -> None:
        """Put the weights of what is read together beside each other, and each adapter's too."""
        self._embed = causal.get_input_embeddings()
        self._angles = decoder.rotary_emb
        self._norm = _norm(decoder.norm)
        last = len(decoder.layers) - 1
        self._layers = [
            _layer(one, number, is_last=number == last) for number, one in enumerate(decoder.layers)
        ]
        groups = [_with_offsets(some) for layer in decoder.layers for some in _linears(layer)]
        self._dtype = causal.dtype
        self.flats = {name: Flat(name, groups, self._dtype) for name in names}
        self._shares = shares

    def states(self, batch: Batch) -> torch.Tensor:
        """Return the hidden states (learned tokens, width) before each token that is learned."""
        rows = len(batch.ids)
        shares = self._shares.parts
        parts = [(start, rows if end is None else end) for _, start, end in shares]
        packing = pack(batch, parts or [(0, rows)])
        spread = Spread([self.flats[name] for name, _, _ in shares], packing)
        found: torch.Tensor = _Decode.apply(self, packing, spread, *spread.leaves)
        return found

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Return a context in which the states are those of the base alone."""
        before, self._shares.parts = self._shares.parts, ()
        try:
            yield
        finally:
            self._shares.parts = before

    @torch.no_grad()
    def is_like(self, decoder: Any) -> bool:
        """Check that a decoder gives the same states for two rows of unlike length."""
        rows = [Row([*range(at, end)], [True] * (end - at)) for at, end in ((2, 26), (5, 12))]
        (batch,) = in_passes(rows, longest=24, pad_id=0, overhead=4096)
        theirs = decoder(input_ids=batch.ids, use_cache=False).last_hidden_state
        theirs = theirs[:, :-1][batch.learned[:, 1:]].float()
        with self.without_adapters():
            ours = self.states(batch).float()
        return bool((ours - theirs).norm() <= _APART[self._dtype] * theirs.norm())

    def forward(self, packing: Packing, spread: Spread) -> tuple[torch.Tensor, Any]:
        """Return the states, and what the way back needs, where there will be one."""
        x = self._embed(packing.ids)
        cos, sin = (one[0].to(x.dtype) for one in self._angles(x, packing.positions[None]))
        it = Pass(packing, spread, self._layers[0].attention.cells(packing, cos, sin))
        tapes = []
        for layer in self._layers:
            x, tape = layer.forward(x, it)
            if spread.comes_back:
                tapes.append(tape)
        states, factor = self._norm.forward(x)
        return states, (x, factor, it, tapes)

    def backward(self, grad: torch.Tensor, tape: Any) -> None:
        """Write the gradients of all adapters of the pass."""
        x, factor, it, tapes = tape
        grad = self._norm.backward(grad.clone(), x, factor, torch.zeros_like(x))
        for layer in reversed(self._layers):
            grad = layer.backward(grad, it, tapes.pop())


class _Decode(torch.autograd.Function):
    """The states of learned tokens, with gradients for the adapters only."""

    @staticmethod
    def forward(ctx: Any, model: Lean, packing: Packing, spread: Spread, *_: Any) -> Any:
        states, tape = model.forward(packing, spread)
        ctx.kept = (model, spread, tape)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        model, spread, tape = ctx.kept
        ctx.kept = None
        model.backward(grads[0], tape)
        spread.collect()
        return (None,) * len(ctx.needs_input_grad)


def _linears(layer: Any) -> list[list[Any]]:
    return [
        [
            getattr(owner, name)
            for name in group
            for owner in (layer.self_attn, layer.mlp)
            if hasattr(owner, name)
        ]
        for group in _GROUPS
    ]


def _with_offsets(linears: Sequence[Any]) -> list[tuple[Any, int]]:
    """Return peft's layers among linear layers, each with the first of its outputs among all."""
    found, first = [], 0
    for one in linears:
        if isinstance(one, BaseTunerLayer):
            found.append((one, first))
        first += one.out_features
    return found


def _layer(layer: Any, number: int, *, is_last: bool) -> Layer:
    attention = layer.self_attn
    heads = attention.config.num_attention_heads
    return Layer(
        number=number,
        is_last=is_last,
        before_attention=_norm(layer.input_layernorm),
        before_mlp=_norm(layer.post_attention_layernorm),
        linears=tuple(_as_one([getattr(one, "base_layer", one) for one in some])
                      for some in _linears(layer)),
        attention=Attention(
            heads=heads,
            kv_heads=attention.config.num_key_value_heads,
            width=attention.head_dim,
            scale=attention.scaling,
        ),
    )  # fmt: skip


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach(), module.variance_epsilon)


def _as_one(linears: Sequence[Any]) -> Linear:
    """Put weights beside each other; the layers keep their part of the one tensor."""
    if len(linears) == 1:
        weight, bias = linears[0].weight.detach(), linears[0].bias
        return Linear(weight, None if bias is None else bias.detach())
    weight = torch.cat([one.weight.detach() for one in linears])
    parts = weight.split([one.out_features for one in linears])
    for one, part in zip(linears, parts, strict=True):
        one.weight.data = part
    biases = [one.bias.detach() for one in linears if one.bias is not None]
    return Linear(weight, torch.cat(biases) if biases else None)
