"""What is trained computes what transformers and peft compute, whatever the model and the adapter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ftctl_worker.hyperparameters import TrainingDefaults
from ftctl_worker.models import adapters
from ftctl_worker.models.lora import slim
from ftctl_worker.training.forward import Forward
from ftctl_worker.training.llama import lean
from ftctl_worker.training.objective import Answers, Passes
from transformers import AutoConfig, AutoModelForCausalLM

from tests.worker.test_llama import SIZES, filled, some_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
PASSES = Passes(longest=64, pad_id=0, tokens=16_384, overhead=96)
PLAIN = TrainingDefaults(lora_r=4)
SMALL = {"head_dim": 16, "num_hidden_layers": 4}
# (kind, what it has beyond the sizes, whether its decoder has a stand-in)
MODELS: list[tuple[str, dict[str, Any], bool]] = [
    ("llama", {}, True),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}, True),
    ("mistral", {"sliding_window": None}, True),
    ("mistral", {"sliding_window": 8}, False),
    ("qwen2", {}, True),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, False),
    ("qwen3", SMALL, False),
    ("gemma", SMALL, False),
    ("gemma2", {**SMALL, "sliding_window": 8, "final_logit_softcapping": 0.5}, False),
    ("gemma3_text", {**SMALL, "sliding_window": 8}, False),
    ("phi3", {}, False),
    ("smollm3", {"num_hidden_layers": 4}, False),
    ("granite", {"logits_scaling": 3.0, "residual_multiplier": 0.5}, False),
]
# Ways to tune, and whether a stand-in takes them.
WAYS: list[tuple[dict[str, Any], bool]] = [
    ({"use_rslora": True}, True),
    ({"use_dora": True}, False),
    ({"lora_dropout": 0.3}, False),
    ({"target_modules": ("q_proj", "down_proj")}, True),
]


def loaded(kind: str, more: dict[str, Any], way: TrainingDefaults) -> Any:
    """Return a random model with a random adapter."""
    torch.manual_seed(5)
    config = AutoConfig.for_model(kind, **{**SIZES, **more})
    model = AutoModelForCausalLM.from_config(config)
    return adapters.attach(model.requires_grad_(False), way).eval()


def theirs(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the mean loss and the gradients of transformers and peft, row by row."""
    rows = some_rows([20, 9, 13])
    labels = sum(sum(row.learned[1:]) for row in rows)
    total = 0.0
    for row in rows:
        learned = [i if learn else -100 for i, learn in zip(row.ids, row.learned, strict=True)]
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(
            logits, torch.tensor(learned[1:]), reduction="sum", ignore_index=-100
        )
        (loss / labels).backward()
        total += float(loss.detach()) / labels
    return total, {
        name: value.grad
        for name, value in adapters.trainable(model).items()
        if value.grad is not None
    }


def ours(
    model: Any, *, half: bool = False, fill: bool = True
) -> tuple[float, dict[str, torch.Tensor], bool]:
    """Return the same from our own passes, and whether they have a stand-in."""
    slim(model)
    stand_in = lean(model, [adapters.ALONE])
    if fill:
        filled(model, [adapters.ALONE])
    forward = Forward(model, half=half, lean=stand_in)
    passes = PASSES if stand_in is None else PASSES.packed()
    result = Answers(some_rows([20, 9, 13]), forward, passes).learn(range(3))
    parameters = adapters.trainable(model)
    if stand_in is None:
        found = {name: value.grad for name, value in parameters.items() if value.grad is not None}
        return result.loss, found, False
    flat = stand_in.flats[adapters.ALONE]
    assert flat.values.grad is not None
    return result.loss, flat.by_name(flat.values.grad, parameters), True


def check(kind: str, more: dict[str, Any], way: TrainingDefaults, *, stands_in: bool) -> None:
    model = loaded(kind, more, way)
    filled(model, [adapters.ALONE])
    loss, gradients = theirs(model)
    our_loss, our_gradients, has_stand_in = ours(loaded(kind, more, way))
    assert has_stand_in == stands_in
    assert our_loss == pytest.approx(loss, rel=1e-4)
    assert our_gradients.keys() == gradients.keys()
    for name, value in our_gradients.items():
        torch.testing.assert_close(value, gradients[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("kind", "more", "stands_in"), MODELS)
def test_a_step_is_that_of_transformers_and_peft(
    kind: str, more: dict[str, Any], *, stands_in: bool
) -> None:
    check(kind, more, PLAIN, stands_in=stands_in)


@pytest.mark.parametrize(("way", "stands_in"), WAYS)
def test_so_is_a_step_of_other_adapters(way: dict[str, Any], *, stands_in: bool) -> None:
    check("llama", {}, TrainingDefaults(lora_r=4, **way), stands_in=stands_in)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_half_the_digits_give_nearly_the_same_step(kind: str) -> None:
    more = SMALL if kind == "qwen3" else {}
    loss, gradients, _ = ours(loaded(kind, more, PLAIN))
    half_loss, half_gradients, _ = ours(loaded(kind, more, PLAIN).to(torch.bfloat16), half=True)
    assert half_loss == pytest.approx(loss, rel=0.01)
    for name, value in half_gradients.items():
        away = torch.linalg.vector_norm(value.float() - gradients[name])
        assert away <= 0.2 * torch.linalg.vector_norm(gradients[name]) + 1e-3, name
