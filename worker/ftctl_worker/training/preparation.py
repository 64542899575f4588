"""From a job to what its training loop needs: model, data, hyperparameters, a place in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.integrations.liger import apply_liger_kernel
from transformers.utils.import_utils import is_liger_kernel_available

from ftctl_worker.graders.parsing import parse_grader
from ftctl_worker.hyperparameters import choose, read_defaults, with_options
from ftctl_worker.models import adapters
from ftctl_worker.models.full import Whole, unfreeze
from ftctl_worker.models.loading import device, load_base
from ftctl_worker.models.lora import slim
from ftctl_worker.settings import is_sharded, process_count
from ftctl_worker.training.admission import available_bytes, check_weights, plan_memory
from ftctl_worker.training.batches import (
    PASS_OVERHEAD,
    PASS_OVERHEAD_ON_CUDA,
    TOKENS_PER_PASS,
)
from ftctl_worker.training.forward import Forward
from ftctl_worker.training.llama import lean
from ftctl_worker.training.objective import Answers, Pair, Passes, Preferences
from ftctl_worker.training.rewards import Prompt, Rewards
from ftctl_worker.training.rows import Source
from ftctl_worker.training.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftctl_worker.graders.grader import Grader
    from ftctl_worker.home import Home
    from ftctl_worker.hyperparameters import Chosen, TrainingDefaults
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.training.admission import MemoryPlan
    from ftctl_worker.training.flat import Flat
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.objective import Objective
    from ftctl_worker.training.rendering import Row

    Data = Sequence[Row] | Sequence[Pair] | Sequence[Prompt]

__all__ = ["Material", "Task", "grader_of", "load", "passes_of", "plan_passes", "prepare", "read"]

_LIGER = {"fused_linear_cross_entropy": False, "cross_entropy": False}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Everything that a training loop works with; ``adapter`` is what ``model`` calls the job's.

    ``whole`` where there is no adapter, because every weight is trained; ``flat`` where all numbers
    of the adapter are in one tensor.
    """

    job: Job
    model: Any
    chosen: Chosen
    objective: Objective
    held_out: Objective | None
    patience: int
    adapter: str = adapters.ALONE
    whole: Whole | None = None
    flat: Flat | None = None

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return what is trained, by name."""
        if self.whole is not None:
            return self.whole.parameters()
        return adapters.trainable(self.model, self.adapter)

    def leaves(self) -> list[torch.nn.Parameter]:
        """Return what has gradients: the parameters, or the one tensor that holds them all."""
        return list(self.parameters().values()) if self.flat is None else [self.flat.values]

    def save_checkpoint(self, ledger: Ledger, step: int, metrics: Mapping[str, float]) -> None:
        """Save the adapter of a step, or the whole model, and offer it under its name."""
        folder = ledger.adapter_folder(step)
        said: dict[str, Any] = {"base": self.job.model, "name": ledger.model_name}
        said |= {"job_id": self.job.id, "step": step, "loss": metrics["train_loss"]}
        if self.whole is not None:
            self.whole.save(folder, **said)
        else:
            adapters.save(self.model, folder, **said, adapter=self.adapter)
        ledger.checkpoint(step, metrics)


@dataclass(frozen=True, kw_only=True)
class Material:
    """The data of a job and how it is to be learned, before there is an adapter.

    ``longest``: tokens of its longest row, answers that are to be drawn among them.
    """

    job: Job
    data: Data
    held_out: Data | None
    defaults: TrainingDefaults
    chosen: Chosen
    longest: int

    @property
    def is_full(self) -> bool:
        """Whether every weight is trained."""
        return bool(self.job.options.get("tuning") == "full")

    @property
    def patience(self) -> int:
        """After how many worse epochs the job ends; 0 where it never does."""
        wanted = int(self.job.options.get("early_stopping_patience", 0))
        return 0 if self.held_out is None else wanted


def prepare(job: Job, base: BaseModel, ledger: Ledger, home: Home, precision: Any) -> Task:
    """Load the model and the data of a job.

    Raises:
        TrainingDataError: the data cannot be used.
        ModelError: the base model cannot be used.
        TooLargeError: the machine has not enough memory.
    """
    loaded = load(base, home, precision, job.options)
    material = read(job, loaded, ledger, home)
    plan = plan_passes([material], loaded)
    if plan.checkpointing:
        loaded.model.enable_input_require_grads()
        loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
    if plan.is_tight:
        ledger.say(plan.describe())
    whole = Whole(loaded.model, loaded.tokenizer) if material.is_full else None
    if whole is None:
        torch.manual_seed(job.seed)
        model = adapters.attach(loaded.model, material.defaults)
        slim(model)
        stand_in = None if plan.checkpointing else lean(model, [adapters.ALONE])
    else:
        model, stand_in = loaded.model, None
        ledger.say(f"Training all {unfreeze(model):,} weights")
    forward = Forward(model, half=loaded.is_half, packs=loaded.can_pack, lean=stand_in)
    passes = passes_of(plan, loaded, material.longest, packs=stand_in is not None)
    chosen, held_out = material.chosen, material.held_out

    def objective(some: Any) -> Objective:
        if chosen.exploration is None:
            return _objective(some, forward, passes, chosen)
        most = material.defaults.new_tokens
        return Rewards(
            some,
            Sampler(model=model, loaded=loaded, most=most, tokens=plan.tokens_per_pass),
            forward,
            passes,
            grader=grader_of(job),
            exploration=chosen.exploration,
        )

    return Task(
        job=job,
        model=model,
        chosen=chosen,
        objective=objective(material.data),
        held_out=None if held_out is None else objective(held_out),
        patience=material.patience,
        whole=whole,
        flat=None if stand_in is None else stand_in.flats[adapters.ALONE],
    )


def load(
    base: BaseModel, home: Home, precision: Any, options: Mapping[str, Any] | None = None
) -> LoadedBase:
    """Load the model to be trained, as the options of a job want it.

    Raises:
        ModelError: the base model cannot be used.
        TooLargeError: the machine has not enough memory.
    """
    tuning = (options or {}).get("tuning", "lora")
    if base.kind == "folder":
        size = sum(file.stat().st_size for file in Path(base.location).glob("*.safetensors"))
        there = torch.device("cpu") if is_sharded() else device()
        check_weights(size // 4 if tuning == "qlora" else size, available_bytes(there))
    if tuning == "full" and precision == "auto":
        precision = "fp32"  # half the digits are too few to add small steps to
    loaded = load_base(
        base,
        precision=precision,
        cache=home.cache,
        training=True,
        four_bit=tuning == "qlora",
    )
    if device().type == "cuda" and is_liger_kernel_available():
        # Our loss is computed from chosen positions only, so theirs stays out.
        apply_liger_kernel(loaded.model, _LIGER)
    return loaded


def read(job: Job, loaded: LoadedBase, ledger: Ledger, home: Home) -> Material:
    """Read the data of a job, and choose what "auto" means.

    Raises:
        TrainingDataError: the data cannot be used.
        ModelError: the model's own defaults cannot be used.
    """
    if loaded.commit is not None:
        ledger.say(f"The base model {job.model} is the commit {loaded.commit} of the Hub")
    defaults = with_options(read_defaults(loaded.folder), job.options)
    longest = min(defaults.max_length or loaded.context, loaded.context)
    source = Source(loaded, longest, home, ledger)
    data = _read(source, job, job.training_file, "training_file", defaults)
    held_out = (
        None
        if job.validation_file is None
        else _read(source, job, job.validation_file, "validation_file", defaults)
    )
    chosen = choose(job.requested, defaults, len(data))
    ledger.choose(chosen)
    if held_out is None and "early_stopping_patience" in job.options:
        text = "There is no validation_file, so early_stopping_patience has nothing to go by"
        ledger.say(text, level="warn")
    rows = [*data, *(held_out or ())]
    return Material(
        job=job,
        data=data,
        held_out=held_out,
        defaults=defaults,
        chosen=chosen,
        longest=max(_tokens(row, defaults.new_tokens) for row in rows),
    )


def _tokens(row: Row | Pair | Prompt, new_tokens: int) -> int:
    if isinstance(row, Prompt):
        return len(row.ids) + new_tokens
    return len((row.longer if isinstance(row, Pair) else row).ids)


def plan_passes(materials: Sequence[Material], loaded: LoadedBase) -> MemoryPlan:
    """Make the passes of jobs over one model fit into memory.

    Raises:
        TooLargeError: they cannot.
    """
    first = materials[0]
    pairs = 2 if first.job.method == "dpo" else 1
    # What is cut into parts is not on the card yet.
    parts = _bytes(loaded.model) // process_count() if is_sharded() else 0
    ranks = sum(one.defaults.lora_r for one in materials)
    return plan_memory(
        loaded.model.config,
        weight_bytes=parts,
        half=loaded.is_half,
        defaults=replace(first.defaults, lora_r=ranks),
        longest=pairs * max(one.longest for one in materials),
        wanted_tokens=TOKENS_PER_PASS,
        available=available_bytes(device()),
        checkpointing=first.job.options.get("gradient_checkpointing"),
        trained=_count(loaded.model) if first.is_full else None,
    )


def _count(model: Any) -> int:
    return sum(value.numel() for value in model.parameters())


def _bytes(model: Any) -> int:
    return sum(value.numel() * value.element_size() for value in model.parameters())


def passes_of(plan: MemoryPlan, loaded: LoadedBase, longest: int, *, packs: bool) -> Passes:
    """Return how rows become batches under a plan; ``packs`` where nothing fills them up."""
    passes = Passes(
        longest=longest,
        pad_id=loaded.pad_id,
        tokens=plan.tokens_per_pass,
        overhead=PASS_OVERHEAD_ON_CUDA if device().type == "cuda" else PASS_OVERHEAD,
    )
    return passes.packed() if packs else passes


def _read(source: Source, job: Job, file_id: str, param: str, defaults: TrainingDefaults) -> Data:
    if job.method == "reinforcement":
        return source.prompts(
            file_id,
            param,
            grader=grader_of(job),
            room=defaults.new_tokens,
            response_format=job.options.get("response_format"),
        )
    return source.pairs(file_id, param) if job.method == "dpo" else source.rows(file_id, param)


def grader_of(job: Job) -> Grader:
    """Return the grader of a reinforcement job."""
    # Whether code may be run was decided by the server when it started the job.
    return parse_grader(job.options.get("grader"), "method.reinforcement.grader", python=True)


def _objective(data: Any, forward: Forward, passes: Passes, chosen: Chosen) -> Objective:
    if chosen.beta is None:
        return Answers(data, forward, passes)
    return Preferences(data, forward, passes, beta=chosen.beta)
