"""From a job to what its training loop needs: model, data, hyperparameters, a place in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftctl_worker import adapters
from ftctl_worker.admission import available_bytes, check_weights, plan_memory
from ftctl_worker.batches import PASS_OVERHEAD, PASS_OVERHEAD_ON_CUDA, TOKENS_PER_PASS
from ftctl_worker.forward import Forward
from ftctl_worker.graders.parsing import parse_grader
from ftctl_worker.hyperparameters import choose, read_defaults, with_options
from ftctl_worker.loading import device, load_base
from ftctl_worker.lora import slim
from ftctl_worker.objective import Answers, Passes, Preferences
from ftctl_worker.rewards import Rewards
from ftctl_worker.rows import Source
from ftctl_worker.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftctl_worker.bases import BaseModel
    from ftctl_worker.graders.grader import Grader
    from ftctl_worker.home import Home
    from ftctl_worker.hyperparameters import Chosen, TrainingDefaults
    from ftctl_worker.job import Job
    from ftctl_worker.ledger import Ledger
    from ftctl_worker.loading import LoadedBase
    from ftctl_worker.objective import Objective, Pair
    from ftctl_worker.rendering import Row
    from ftctl_worker.rewards import Prompt

__all__ = ["Task", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Everything that a training loop works with."""

    job: Job
    model: Any
    chosen: Chosen
    objective: Objective
    held_out: Objective | None
    patience: int

    def save_checkpoint(self, ledger: Ledger, step: int, metrics: Mapping[str, float]) -> None:
        """Save the adapter of a step, and offer it under its name."""
        adapters.save(
            self.model,
            ledger.adapter_folder(step),
            base=self.job.model,
            name=ledger.model_name,
            job_id=self.job.id,
            step=step,
            loss=metrics["train_loss"],
        )
        ledger.checkpoint(step, metrics)


def prepare(job: Job, base: BaseModel, ledger: Ledger, home: Home, precision: Any) -> Task:
    """Load the model and the data of a job.

    Raises:
        TrainingDataError: the data cannot be used.
        ModelError: the base model cannot be used.
        TooLargeError: the machine has not enough memory.
    """
    if base.kind == "folder":
        sizes = (file.stat().st_size for file in Path(base.location).glob("*.safetensors"))
        check_weights(sum(sizes), available_bytes(device()))
    loaded = load_base(base, precision=precision, cache=home.cache, training=True)
    defaults = with_options(read_defaults(loaded.folder), job.options)
    longest = min(defaults.max_length, loaded.context)
    source = Source(loaded, longest, home, ledger)
    data = _read(source, job, job.training_file, "training_file", defaults)
    held_out = (
        None
        if job.validation_file is None
        else _read(source, job, job.validation_file, "validation_file", defaults)
    )
    chosen = choose(job.requested, defaults, len(data))
    ledger.choose(chosen)
    passes = _passes(job, loaded, defaults, longest, ledger)
    model = adapters.attach(loaded.model, defaults)
    slim(model)
    forward = Forward(model, half=loaded.is_half)

    def objective(some: Any) -> Objective:
        if chosen.exploration is not None:
            return Rewards(
                some,
                Sampler(model=model, loaded=loaded, most=defaults.new_tokens, tokens=passes.tokens),
                forward,
                passes,
                grader=_grader(job),
                exploration=chosen.exploration,
            )
        return _objective(some, forward, passes, chosen)

    return Task(
        job=job,
        model=model,
        chosen=chosen,
        objective=objective(data),
        held_out=None if held_out is None else objective(held_out),
        patience=0 if held_out is None else int(job.options.get("early_stopping_patience", 0)),
    )


def _read(
    source: Source, job: Job, file_id: str, param: str, defaults: TrainingDefaults
) -> Sequence[Row] | Sequence[Pair] | Sequence[Prompt]:
    if job.method == "reinforcement":
        return source.prompts(file_id, param, grader=_grader(job), room=defaults.new_tokens)
    return source.pairs(file_id, param) if job.method == "dpo" else source.rows(file_id, param)


def _grader(job: Job) -> Grader:
    # Whether code may be run was decided when the job was created.
    return parse_grader(job.options.get("grader"), "method.reinforcement.grader", python=True)


def _objective(data: Any, forward: Forward, passes: Passes, chosen: Chosen) -> Objective:
    if chosen.beta is None:
        return Answers(data, forward, passes)
    return Preferences(data, forward, passes, beta=chosen.beta)


def _passes(
    job: Job, loaded: LoadedBase, defaults: TrainingDefaults, longest: int, ledger: Ledger
) -> Passes:
    """Make the passes fit into memory, and say so where that costs time."""
    model = loaded.model
    pairs = 2 if job.method == "dpo" else 1
    plan = plan_memory(
        model.config,
        weight_bytes=0,
        half=loaded.is_half,
        defaults=defaults,
        longest=pairs * longest,
        wanted_tokens=TOKENS_PER_PASS,
        available=available_bytes(device()),
        checkpointing=job.options.get("gradient_checkpointing"),
    )
    if plan.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if plan.checkpointing or plan.tokens_per_pass < TOKENS_PER_PASS:
        ledger.say(plan.describe())
    return Passes(
        longest=longest,
        pad_id=loaded.pad_id,
        tokens=plan.tokens_per_pass,
        overhead=PASS_OVERHEAD_ON_CUDA if device().type == "cuda" else PASS_OVERHEAD,
    )
