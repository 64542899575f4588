"""Our own LoRA forwards against peft's, memory plans, and tool calls in text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ftctl_worker.hyperparameters import TrainingDefaults
from ftctl_worker.models import adapters
from ftctl_worker.models.lora import slim
from ftctl_worker.serving.slots import Slots
from ftctl_worker.training.admission import TooLargeError, check_weights, plan_memory
from ftctl_worker.training.batches import in_passes
from ftctl_worker.training.forward import Forward, Sums
from ftctl_worker.training.rendering import Row
from peft import PeftModel
from transformers import AutoModelForCausalLM

ROWS = [Row([3, 40, 50, 4, 60, 70, 1], [False] * 4 + [True] * 3), Row([3, 9, 4, 8], [True] * 4)]
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def fresh(models_dir: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(models_dir / "mini", dtype=dtype)


def adapted(models_dir: Path, seed: int, rank: int = 4) -> Any:
    torch.manual_seed(seed)
    model = adapters.attach(fresh(models_dir), TrainingDefaults(lora_r=rank))
    for value in adapters.trainable(model).values():
        torch.nn.init.normal_(value, std=0.1)
    return model


def gradients(model: Any, *, packs: bool = False) -> list[torch.Tensor]:
    (batch,) = in_passes(ROWS, longest=64, pad_id=0)
    Forward(model, half=False, packs=packs)(batch, Sums()).backward()
    return [value.grad for value in adapters.trainable(model).values() if value.grad is not None]


def test_the_lean_forward_has_the_same_gradients(models_dir: Path) -> None:
    plain, lean = adapted(models_dir, 1), adapted(models_dir, 1)
    assert slim(lean) == 14
    pairs = zip(gradients(plain), gradients(lean), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    with lean.disable_adapter(), torch.no_grad():
        ids = torch.tensor([[3, 40, 50, 4]])
        torch.testing.assert_close(lean(ids).logits, fresh(models_dir)(ids).logits)


def test_rows_read_as_one_have_the_same_gradients(models_dir: Path) -> None:
    padded, packed = adapted(models_dir, 1), adapted(models_dir, 1)
    for one, other in zip(gradients(padded), gradients(packed, packs=True), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rows_of_one_batch_use_their_own_adapters(models_dir: Path, tmp_path: Path) -> None:
    ids = torch.tensor([[3, 40, 50, 4]] * 3)
    expected = []
    for seed, rank in ((1, 4), (2, 8)):
        model = adapted(models_dir, seed, rank)
        folder = tmp_path / f"a{seed}"
        adapters.save(model, folder, base="mini", name="n", job_id="j", step=1, loss=0.0)
        loaded = PeftModel.from_pretrained(fresh(models_dir), str(folder))
        expected.append(loaded(ids[:1]).logits[0])
    base = fresh(models_dir).requires_grad_(False)
    expected.append(base(ids[:1]).logits[0])
    slots = Slots(base, most=2)
    for seed in (1, 2):
        assert slots.load(tmp_path / f"a{seed}", f"a{seed}") == []
    slots.choose(["a1", "a2", ""])
    for row, logits in zip(base(ids).logits, expected, strict=True):
        torch.testing.assert_close(row, logits.detach(), rtol=1e-4, atol=1e-4)
    slots.choose(["a1", "a2", "a1"])
    for row, logits in zip(base(ids).logits, (expected[0], *expected[:2][::-1]), strict=True):
        torch.testing.assert_close(row, logits.detach(), rtol=1e-4, atol=1e-4)
    slots.choose(["a2"])
    torch.testing.assert_close(base(ids[:1]).logits[0], expected[1].detach(), rtol=1e-4, atol=1e-4)
    slots.choose(["", "a2"])
    for row, logits in zip(base(ids[:2]).logits, expected[:0:-1], strict=True):
        torch.testing.assert_close(row, logits.detach(), rtol=1e-4, atol=1e-4)
    slots.keep_loaded(["a1"])
    assert slots.load(tmp_path / "a1", "again") == ["a2"]


def plan(available: int, **more: Any) -> Any:
    config = SimpleNamespace(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, vocab_size=32_000
    )
    return plan_memory(
        config,
        weight_bytes=2 * 10**9,
        half=True,
        defaults=TrainingDefaults(),
        longest=1024,
        wanted_tokens=16_384,
        available=available,
        **more,
    )


def test_memory_decides_passes_then_checkpointing_then_refusal() -> None:
    roomy = plan(100 * 10**9)
    assert (roomy.tokens_per_pass, roomy.checkpointing) == (16_384, False)
    tighter = plan(10 * 10**9)
    assert tighter.tokens_per_pass < 16_384
    assert tighter.needed <= 10 * 10**9
    tight = plan(4_000_000_000)
    assert tight.checkpointing
    assert "computed twice" in tight.describe()
    with pytest.raises(TooLargeError, match="use a smaller model"):
        plan(10**9)
    with pytest.raises(TooLargeError, match="weights need"):
        check_weights(10**9, 10**9)
    with pytest.raises(TooLargeError):
        plan(3 * 10**9, checkpointing=False)
