"""The engine ``trl``: TRL's SFTTrainer, DPOTrainer and GRPOTrainer over the same rows and adapters.

Rows are rendered by the worker itself, so that what is learned does not depend on the engine; TRL
gets token ids. How batches are put together, and the randomness, are TRL's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from ftctl_worker.engines.reporting import Reporter, last_state
from ftctl_worker.graders.grader import GradingError, fields_of
from ftctl_worker.models import adapters
from ftctl_worker.models.loading import device
from ftctl_worker.settings import process_count
from ftctl_worker.training.preparation import grader_of, load, plan_passes, read
from ftctl_worker.training.rewards import none_graded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftctl_worker.graders.grader import Grader
    from ftctl_worker.home import Home
    from ftctl_worker.hyperparameters import TrainingDefaults
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.preparation import Material
    from ftctl_worker.training.rendering import Row
    from ftctl_worker.training.stopping import StopRequest

    Attach = Callable[[LoadedBase, TrainingDefaults], Any]

__all__ = ["train", "train_with"]

_WARMUP = 0.05
_CLIP = 1.0


def train(
    job: Job, base: BaseModel, ledger: Ledger, home: Home, *, precision: Any, stop: StopRequest
) -> None:
    """Train one adapter with TRL; see :class:`ftctl_worker.engines.port.Train`."""
    train_with(load(base, home, precision, job.options), _attach, job, ledger, home, stop=stop)


def train_with(
    loaded: LoadedBase, attach: Attach, job: Job, ledger: Ledger, home: Home, *, stop: StopRequest
) -> None:
    """Train a model that is in memory; ``attach`` puts the adapter on it."""
    material = read(job, loaded, ledger, home)
    plan = plan_passes([material], loaded)
    torch.manual_seed(job.seed)
    model = attach(loaded, material.defaults)
    _say_parts(ledger, material)
    folder = home.trainer_state(job.id)
    reporter = Reporter(
        job, ledger, home, stop, epochs=material.chosen.n_epochs, patience=material.patience
    )
    make, config = _KINDS[job.method]
    arguments = {
        **_arguments(job, material, folder, half=loaded.is_half),
        "gradient_checkpointing": plan.checkpointing,
    }
    trainer = make(model, loaded, material, config, arguments)
    trainer.add_callback(reporter)
    trainer.remove_callback(PrinterCallback)
    stop.listen()
    state = last_state(folder)
    trainer.train(resume_from_checkpoint=None if state is None else str(state))
    if not reporter.stopped:
        reporter.finish(trainer.state, _tokens(material, trainer.state))


def _say_parts(ledger: Ledger, material: Material) -> None:
    count, rows = process_count(), material.chosen.batch_size
    if count > 1:
        text = f"Trained by {count} processes with {max(1, rows // count)} rows each in a step"
        ledger.say(text, level="info" if rows % count == 0 else "warn")


def _attach(loaded: LoadedBase, defaults: TrainingDefaults) -> Any:
    return adapters.attach(loaded.model, defaults)


def _arguments(job: Job, material: Material, folder: Any, *, half: bool) -> dict[str, Any]:
    """Return what all trainers are told; the schedule is that of our own loop."""
    chosen = material.chosen
    steps = -(-len(material.data) // chosen.batch_size) * chosen.n_epochs
    return {
        "output_dir": str(folder),
        "num_train_epochs": chosen.n_epochs,
        "per_device_train_batch_size": max(1, chosen.batch_size // process_count()),
        "per_device_eval_batch_size": chosen.batch_size,
        "learning_rate": chosen.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, round(steps * _WARMUP)),
        "weight_decay": 0.0,
        "max_grad_norm": _CLIP,
        "optim": "adamw_torch_fused",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "eval_strategy": "no" if material.held_out is None else "epoch",
        "report_to": "none",
        "use_cpu": device().type == "cpu",
        "bf16": half,
        "seed": job.seed,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": device().type == "cuda",
    }


def _supervised(
    model: Any, loaded: LoadedBase, material: Material, config: Any, arguments: dict[str, Any]
) -> Any:
    return SFTTrainer(
        model=model,
        args=config(**arguments, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None),
        train_dataset=_dataset(material.data, _labelled),
        eval_dataset=_dataset(material.held_out, _labelled),
        processing_class=loaded.tokenizer,
    )


class _Preferences(DPOTrainer):  # type: ignore[misc, unused-ignore]
    """Takes rows of token ids as they are."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def _preferences(
    model: Any, loaded: LoadedBase, material: Material, config: Any, arguments: dict[str, Any]
) -> Any:
    return _Preferences(
        model=model,
        args=config(**arguments, beta=material.chosen.beta, max_length=None),
        train_dataset=_dataset(material.data, _paired),
        eval_dataset=_dataset(material.held_out, _paired),
        processing_class=loaded.tokenizer,
    )


def _rewards(
    model: Any, loaded: LoadedBase, material: Material, config: Any, arguments: dict[str, Any]
) -> Any:
    explored = material.chosen.exploration
    assert explored is not None
    batch = _answers_of_a_process(
        min(material.chosen.batch_size, len(material.data)), explored.samples
    )
    arguments |= {"per_device_train_batch_size": batch, "per_device_eval_batch_size": batch}
    prompts = [*material.data, *(material.held_out or ())]
    count = len(material.data)
    return GRPOTrainer(
        model=model,
        args=config(
            **arguments,
            num_generations=explored.samples,
            max_completion_length=material.defaults.new_tokens,
            temperature=1.0,
            beta=0.0,
        ),
        reward_funcs=_reward_function(grader_of(material.job), [p.item for p in prompts]),
        train_dataset=_asked(loaded, material.data, 0),
        eval_dataset=_asked(loaded, material.held_out, count),
        processing_class=loaded.tokenizer,
    )


def _answers_of_a_process(prompts: int, samples: int) -> int:
    """Return its part of a step's answers; TRL wants all answers to a prompt in the same step."""
    least = math.lcm(samples, process_count())
    return max(1, round(prompts * samples / least)) * least // process_count()


def _reward_function(grader: Grader, items: Sequence[Any]) -> Any:
    def reward(completions: list[str], item_number: list[int], **_: Any) -> list[float | None]:
        found: list[float | None] = []
        why: GradingError | None = None
        for answer, number in zip(completions, item_number, strict=True):
            try:
                found.append(grader.grade(fields_of(answer, items[number])).reward)
            except GradingError as error:
                why = error
                found.append(None)
        if why is not None and not any(reward is not None for reward in found):
            raise none_graded(grader, len(found), why) from why
        return found

    return reward


def _asked(loaded: LoadedBase, prompts: Any, first: int) -> Any:
    if prompts is None:
        return None
    # TRL reads the text anew; what the tokenizer adds of itself would stand there twice.
    texts = [loaded.tokenizer.decode(prompt.ids) for prompt in prompts]
    return Dataset.from_list(
        [{"prompt": text, "item_number": first + at} for at, text in enumerate(texts)]
    )


def _dataset(rows: Any, row: Callable[[Any], dict[str, list[int]]]) -> Any:
    return None if rows is None else Dataset.from_list([row(one) for one in rows])


def _labelled(row: Row) -> dict[str, list[int]]:
    labels = [i if learn else -100 for i, learn in zip(row.ids, row.learned, strict=True)]
    return {"input_ids": row.ids, "labels": [-100, *labels[1:]]}


def _paired(pair: Any) -> dict[str, list[int]]:
    start = pair.preferred.learned.index(True)
    return {
        "prompt_ids": pair.preferred.ids[:start],
        "chosen_ids": _answer(pair.preferred, start),
        "rejected_ids": _answer(pair.other, pair.other.learned.index(True)),
    }


def _answer(row: Row, start: int) -> list[int]:
    last = len(row.learned) - row.learned[::-1].index(True)
    return row.ids[start:last]


def _tokens(material: Material, state: Any) -> int:
    if material.chosen.exploration is not None:
        return int(state.num_input_tokens_seen)
    data: Any = material.data
    each = [
        len(row.ids)
        for one in data
        for row in ((one.preferred, one.other) if material.chosen.beta is not None else (one,))
    ]
    return round(sum(each) * (state.epoch or 0))


_KINDS: dict[str, tuple[Any, Any]] = {
    "supervised": (_supervised, SFTConfig),
    "dpo": (_preferences, DPOConfig),
    "reinforcement": (_rewards, GRPOConfig),
}
