"""What stands in for a decoder: the same losses and gradients as through peft's own layers."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
import torch
from ftctl_worker.hyperparameters import TrainingDefaults
from ftctl_worker.models import adapters
from ftctl_worker.models.lora import Shares, slim_together
from ftctl_worker.training.batches import pad
from ftctl_worker.training.forward import Forward
from ftctl_worker.training.llama import Lean, lean
from ftctl_worker.training.packing import pack
from ftctl_worker.training.rendering import Row
from ftctl_worker.training.resume import Progress, State
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
ATTENTION = TrainingDefaults(lora_r=2, target_modules=("q_proj", "v_proj", "o_proj"))
WIDE = TrainingDefaults(lora_r=4)
EDGE = TrainingDefaults(lora_r=8, target_modules=("k_proj", "up_proj", "down_proj"))
_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Rows of each adapter, by their lengths.
CASES: list[tuple[list[TrainingDefaults], list[list[int]]]] = [
    ([WIDE], [[9, 3, 17]]),
    ([EDGE], [[40, 150]]),
    ([WIDE, WIDE, WIDE], [[9, 4], [8, 5], [3, 10]]),
    ([WIDE, EDGE, ATTENTION], [[9, 4], [30], [2, 2, 6]]),
    *(([TrainingDefaults(lora_r=2, target_modules=(one,))], [[5, 3]]) for one in _MODULES),
]
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def some_rows(lengths: list[int]) -> list[Row]:
    chance = random.Random(sum(lengths))
    return [
        Row(
            [chance.randrange(1, 96) for _ in range(n)], [at > n // 3 or at == 1 for at in range(n)]
        )
        for n in lengths
    ]


def adapted(kind: str, ways: list[TrainingDefaults], shares: Shares) -> tuple[Any, list[str]]:
    torch.manual_seed(3)
    if kind == "qwen2":
        model: Any = Qwen2ForCausalLM(Qwen2Config(**SIZES))
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(value)
    else:
        model = LlamaForCausalLM(LlamaConfig(**SIZES))
    names = [f"of-{number}" for number in range(len(ways))]
    for name, way in zip(names, ways, strict=True):
        model = adapters.attach(model.requires_grad_(False) if name == "of-0" else model, way, name)
    slim_together(model, shares)
    return model, names


def filled(model: Any, names: list[str]) -> None:
    torch.manual_seed(4)
    for name in names:
        for value in adapters.trainable(model, name).values():
            torch.nn.init.normal_(value.detach(), std=0.1)


def learned(
    kind: str, ways: list[TrainingDefaults], lengths: list[list[int]], *, stand_in: bool
) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Return the losses and gradients of each adapter, with or without a stand-in."""
    shares = Shares()
    model, names = adapted(kind, ways, shares)
    own = lean(model, names, shares) if stand_in else None
    assert (own is not None) == stand_in
    forward = Forward(model, half=False, lean=own)
    filled(model, names)
    owners = [number for number, some in enumerate(lengths) for _ in some]
    shares.split(names, owners)
    rows = some_rows([length for some in lengths for length in some])
    batch = pad(rows, max(len(row.ids) for row in rows), 0)
    sums = forward.by_owner(batch, owners, len(names))
    sums.loss.sum().backward()
    return sums.loss.detach(), [gradients(model, own, name) for name in names]


def gradients(model: Any, own: Lean | None, name: str) -> dict[str, torch.Tensor]:
    parameters = adapters.trainable(model, name)
    if own is None:
        return {key: value.grad for key, value in parameters.items() if value.grad is not None}
    flat = own.flats[name]
    assert flat.values.grad is not None
    return flat.by_name(flat.values.grad, parameters)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize(("ways", "lengths"), CASES)
def test_losses_and_gradients_are_those_of_the_layers(
    kind: str, ways: list[TrainingDefaults], lengths: list[list[int]]
) -> None:
    losses, theirs = learned(kind, ways, lengths, stand_in=False)
    our_losses, ours = learned(kind, ways, lengths, stand_in=True)
    torch.testing.assert_close(our_losses, losses, rtol=1e-5, atol=1e-5)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[[9, 4], [8, 5]], [[9, 4], [30]]])
def test_an_adapter_that_left_the_numbers_leaves_the_others_alone(lengths: list[list[int]]) -> None:
    shares = Shares()
    model, names = adapted("llama", [WIDE, WIDE], shares)
    own = lean(model, names, shares)
    assert own is not None
    forward = Forward(model, half=False, lean=own)
    with torch.no_grad():
        own.flats["of-0"].values.fill_(float("nan"))
    owners = [number for number, some in enumerate(lengths) for _ in some]
    shares.split(names, owners)
    rows = some_rows([length for some in lengths for length in some])
    sums = forward.by_owner(pad(rows, 30, 0), owners, 2)
    sums.loss.sum().backward()
    assert sums.loss.isnan().tolist() == [True, False]
    assert own.flats["of-1"].values.grad is not None
    assert own.flats["of-1"].values.grad.isfinite().all()


def test_what_it_does_not_know_is_left_to_transformers() -> None:
    shares = Shares()
    windowed = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8))
    assert lean(adapters.attach(windowed, WIDE), ["default"]) is None
    dropping = LlamaForCausalLM(LlamaConfig(**SIZES))
    way = TrainingDefaults(lora_r=4, lora_dropout=0.1)
    assert lean(adapters.attach(dropping, way), ["default"]) is None
    model, names = adapted("llama", [WIDE], shares)
    model.get_base_model().model.layers[1].input_layernorm.variance_epsilon = 0.5
    assert lean(model, names, shares) is not None
    model, names = adapted("llama", [WIDE], shares)
    model.get_base_model().model.layers[1].register_forward_hook(lambda *found: 2 * found[2])
    assert lean(model, names, shares) is None


def test_what_was_stored_by_name_is_taken_up_in_one_tensor_and_back(tmp_path: Any) -> None:
    def run(*, stand_in: bool, steps: int) -> tuple[State, Any, Any]:
        shares = Shares()
        model, names = adapted("llama", [WIDE], shares)
        own = lean(model, names, shares) if stand_in else None
        parameters = adapters.trainable(model, names[0])
        leaves = list(parameters.values()) if own is None else [own.flats[names[0]].values]
        optimizer = torch.optim.AdamW(leaves, lr=0.01, fused=True)
        rows = some_rows([9, 4])
        forward = Forward(model, half=False, lean=own)
        shares.give_all(names[0])

        def step() -> dict[str, torch.Tensor]:
            forward.by_owner(pad(rows, 9, 0), [0, 0], 1).loss.sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            return {key: value.detach().clone() for key, value in parameters.items()}

        for _ in range(steps):
            step()
        return State(parameters, optimizer, None if own is None else own.flats[names[0]]), step, own

    for before, after in ((False, True), (True, False)):
        state, step, _ = run(stand_in=before, steps=2)
        state.store(tmp_path / "state", Progress(step=2))
        expected = step()
        other, next_step, _ = run(stand_in=after, steps=0)
        assert other.restore(tmp_path / "state").step == 2
        found = next_step()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


@given(st.lists(st.lists(st.integers(2, 70), min_size=1, max_size=5), min_size=1, max_size=4))
def test_every_token_has_a_place_and_a_slot_of_its_own(parts: list[list[int]]) -> None:
    lengths = [length for part in parts for length in part]
    rows = [Row([100 * number + at for at in range(n)], [True] * n)
            for number, n in enumerate(lengths)]  # fmt: skip
    edges = [sum(map(len, parts[:number])) for number in range(len(parts) + 1)]
    packing = pack(pad(rows, 70, -1), list(pairwise(edges)))
    held = packing.ids[packing.to_slots].tolist()
    for number, length in enumerate(lengths):
        start = int((packing.ids == 100 * number).nonzero()[-1 if number else 0])
        places = range(start, start + length)
        assert packing.ids[start : start + length].tolist() == rows[number].ids
        assert packing.positions[start : start + length].tolist() == list(range(length))
        slots = packing.to_places[start : start + length].tolist()
        assert slots == list(range(slots[0], slots[0] + length))
        assert [held[slot] for slot in slots] == rows[number].ids
        part = next(at for at, edge in enumerate(edges[1:]) if number < edge)
        assert places[-1] < packing.ends[part]
        assert part == 0 or start >= packing.ends[part - 1]
    assert packing.groups[-1].end == len(held)
    assert len(packing.learned) == sum(lengths) - len(lengths)
