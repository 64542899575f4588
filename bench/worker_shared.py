"""What all measurements of the worker share: the clock, the models, the rows, the settings."""

from __future__ import annotations

import gc
import json
import math
import random
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from ftctl_worker.hyperparameters import TrainingDefaults
from ftctl_worker.models import adapters
from ftctl_worker.models.bases import BaseModel, Catalog
from ftctl_worker.models.loading import device, load_base
from ftctl_worker.queue.dataset import Example
from ftctl_worker.training.batches import (
    PASS_OVERHEAD,
    PASS_OVERHEAD_ON_CUDA,
    TOKENS_PER_PASS,
)
from ftctl_worker.training.objective import Passes
from ftctl_worker.training.rendering import render_rows
from transformers import AutoModelForCausalLM, Qwen2Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.training.llama import Lean
    from ftctl_worker.training.rendering import Row

CUDA = torch.cuda.is_available()
UNIT = "tok/s" if CUDA else "tok/CPU-s"
RATE, CLIP, SEED = 5e-3, 1.0, 7
DEFAULTS = TrainingDefaults(lora_r=16, lora_alpha=32)
TEXT = "please the order of a red lamp for my desk has not come yet and I want it back now"
WORDS = TEXT.split()


@dataclass
class Measured:
    """What one way of doing it took: tokens, seconds of the clock that counts, losses."""

    name: str
    tokens: int
    seconds: float
    losses: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    texts: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def clock() -> float:
    """Return CPU seconds of this process, or wall seconds where a card does the work."""
    if not CUDA:
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def in_turn(ways: Mapping[str, Callable[[], Measured]], repeats: int) -> dict[str, Measured]:
    """Do it in every way, again and again, and return the fastest of each.

    Whatever else runs on the machine then slows all ways alike.
    """
    best: dict[str, Measured] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            gc.collect()
            if CUDA:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            measured = way()
            measured.name = name
            if CUDA:
                measured.peak_mib = torch.cuda.max_memory_allocated() / 2**20
            if name not in best or measured.seconds < best[name].seconds:
                best[name] = measured
    return best


@dataclass(frozen=True)
class Source:
    """Where a fresh copy of a model comes from: loaded, or of random weights in some shape."""

    name: str
    fresh: Callable[[], LoadedBase]


def loaded_from(base: BaseModel, place: Path) -> Source:
    """Return a model of the catalog, in fp32 on a CPU and in bf16 on a card."""
    precision: Any = "bf16" if CUDA else "fp32"
    return Source(
        base.name, lambda: load_base(base, precision=precision, cache=place, training=True)
    )


def random_weights(name: str, shape: Mapping[str, Any], place: Path) -> Source:
    """Return a model of random weights in a published shape, with the tokenizer of ``tiny``."""

    def fresh() -> LoadedBase:
        tiny = load_base(Catalog().resolve("tiny"), precision="fp32", cache=place)
        config = Qwen2Config(**shape, eos_token_id=tiny.tokenizer.eos_token_id, pad_token_id=0)
        torch.manual_seed(SEED)
        kind = torch.bfloat16 if CUDA else torch.float32
        with torch.device(device()):
            model = AutoModelForCausalLM.from_config(config, dtype=kind)
        model.requires_grad_(requires_grad=False).eval()
        return replace(tiny, model=model, context=4096, folder=None)

    return Source(name, fresh)


def endless(base: BaseModel, place: Path) -> BaseModel:
    """Return a copy of a model in a folder whose answers end by their length alone.

    What ended them is a token like any other there; one that no answer holds takes its place.
    """
    folder = place / f"endless-{base.name}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(base.location, folder)
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(
            json.dumps(settings | {"eos_token_id": settings["pad_token_id"]})
        )
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["eos_token"] = settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return BaseModel(name=f"{base.name}, endless", kind="folder", location=str(folder))


def passes_for(loaded: LoadedBase, stand_in: Lean | None = None) -> Passes:
    """Return how the worker cuts batches of this model, or of what stands in for its decoder."""
    passes = Passes(
        longest=loaded.context,
        pad_id=loaded.pad_id,
        tokens=TOKENS_PER_PASS,
        overhead=PASS_OVERHEAD_ON_CUDA if CUDA else PASS_OVERHEAD,
    )
    return passes if stand_in is None else passes.packed()


def make_rows(loaded: LoadedBase, count: int, longest: int) -> list[Row]:
    """Return rows of tickets and labels, of quite different lengths."""
    chance = random.Random(SEED)
    examples = []
    for number in range(count):
        words = chance.choices(WORDS, k=int(math.exp(chance.uniform(1.6, math.log(longest) - 1))))
        label = f"{chance.choice(('billing', 'delivery', 'refund'))}: {' '.join(words[:4])}"
        messages = [
            {"role": "user", "content": " ".join(words)},
            {"role": "assistant", "content": label},
        ]
        examples.append(Example(line=number, messages=messages, tools=None))
    rows, _ = render_rows(
        examples, loaded.tokenizer, max_length=longest, eos_ids=set(loaded.eos_ids)
    )
    return rows


class Optimizer:
    """What every way does with its gradients."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._optimizer = torch.optim.AdamW(self._parameters, lr=RATE, weight_decay=0.0, fused=True)

    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self._parameters, CLIP, foreach=True)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def trained(model: Any, stand_in: Lean | None, name: str = adapters.ALONE) -> Optimizer:
    """Return an optimizer of an adapter: of its one tensor, where a stand-in has one."""
    if stand_in is not None:
        return Optimizer([stand_in.flats[name].values])
    return Optimizer(adapters.trainable(model, name).values())
