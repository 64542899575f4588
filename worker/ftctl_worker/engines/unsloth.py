"""The engine ``unsloth``: its kernels and its loading of models, under TRL's trainers.

Unsloth replaces parts of transformers, peft and TRL when it is imported, so that comes first.
"""

from __future__ import annotations

import unsloth  # isort: skip
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ftctl_worker.engines.trl import train_with
from ftctl_worker.errors import ModelError
from ftctl_worker.models.loading import load_base

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.hyperparameters import TrainingDefaults
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.stopping import StopRequest

__all__ = ["train"]


def train(
    job: Job, base: BaseModel, ledger: Ledger, home: Home, *, precision: Any, stop: StopRequest
) -> None:
    """Train one adapter with Unsloth; see :class:`ftctl_worker.engines.port.Train`."""
    if base.kind == "gguf":
        raise ModelError("The engine unsloth takes no GGUF file; use the engine peft.")
    plain = load_base(base, precision=precision, cache=home.cache, training=True)
    plain = replace(plain, model=None)  # the card has room for one of them
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        base.location,
        revision=base.revision,
        max_seq_length=plain.context,
        load_in_4bit=job.options.get("tuning") == "qlora",
        trust_remote_code=False,
        use_safetensors=True,
    )
    attach = partial(_attach, job.seed)
    train_with(replace(plain, model=model), attach, job, ledger, home, stop=stop)


def _attach(seed: int, loaded: LoadedBase, defaults: TrainingDefaults) -> Any:
    if defaults.use_dora:
        raise ModelError("The engine unsloth has no DoRA; use the engine peft.")
    modules = defaults.target_modules
    return unsloth.FastLanguageModel.get_peft_model(
        loaded.model,
        r=defaults.lora_r,
        lora_alpha=defaults.lora_alpha,
        lora_dropout=defaults.lora_dropout,
        use_rslora=defaults.use_rslora,
        random_state=seed,
        target_modules=modules if isinstance(modules, str) else list(modules),
        bias="none",
    )
