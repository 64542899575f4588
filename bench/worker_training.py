"""Our training loop against TRL and HF Trainer: the same model, rows, batches, steps, settings."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import torch
from ftctl_worker.models import adapters
from ftctl_worker.models.loading import device
from ftctl_worker.models.lora import slim
from ftctl_worker.training import llama
from ftctl_worker.training.batches import epoch_order
from ftctl_worker.training.forward import Forward
from ftctl_worker.training.objective import Answers, StepResult
from worker_shared import (
    CLIP,
    CUDA,
    DEFAULTS,
    RATE,
    SEED,
    UNIT,
    Measured,
    clock,
    in_turn,
    make_rows,
    passes_for,
    trained,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.training.rendering import Row
    from worker_shared import Optimizer, Source


def training_table(
    source: Source, *, steps: int, repeats: int, batch: int, longest: int
) -> list[str]:
    """Train with every loop, and compare."""
    loaded = source.fresh()
    rows = make_rows(loaded, batch * steps, longest=longest)
    plain = [list(range(at, at + batch)) for at in range(0, len(rows), batch)]
    near = epoch_order(rows, batch, SEED, 0)
    ordered = [rows[number] for numbers in near for number in numbers]
    parameters = sum(value.numel() for value in loaded.model.parameters())
    del loaded
    print(f"training {source.name} ...", flush=True)
    best = in_turn(
        {
            "TRL SFTTrainer": lambda: trl_trainer(source, rows, steps, batch),
            "HF Trainer + peft": lambda: hf_trainer(source, rows, steps, batch),
            "our loop": lambda: our_loop(source, rows, plain),
            "TRL, rows of like length": lambda: trl_trainer(source, ordered, steps, batch),
            "our loop, rows of like length": lambda: our_loop(source, rows, near),
        },
        repeats,
    )
    ways = list(best.values())
    lines = [
        f"Training {source.name} ({parameters / 1e6:.1f}M), LoRA r 16 on all linear layers, "
        f"{steps} steps of {batch} rows, the best of {repeats} in turn, {device()}",
        f"{'loop':<32}{UNIT:>12}{'ratio':>8}{'first loss':>12}{'last loss':>12}"
        + (f"{'MFU':>8}{'peak MiB':>10}" if CUDA else ""),
    ]
    peak = matrix_rate() if CUDA else 1.0
    for one in ways:
        line = (
            f"{one.name:<32}{one.rate:>12,.0f}{one.rate / ways[0].rate:>8.2f}"
            f"{one.losses[0]:>12.4f}{one.losses[-1]:>12.4f}"
        )
        if CUDA:
            line += f"{4 * parameters * one.rate / peak:>8.1%}{one.peak_mib:>10,.0f}"
        lines.append(line)
    lines.append(f"With rows of like length, ours / TRL: {ways[4].rate / ways[3].rate:.2f}")
    alike = ((ways[2], ways[0]), (ways[2], ways[1]), (ways[4], ways[3]))
    apart = max(
        abs(a - b) / b
        for ours, theirs in alike
        for a, b in zip(ours.losses, theirs.losses, strict=True)
    )
    lines.append(
        f"Largest difference of a step's loss between our loop and the others: {apart:.1e}"
    )
    return lines


def our_loop(source: Source, rows: Sequence[Row], order: Sequence[Sequence[int]]) -> Measured:
    losses, tokens = [], 0
    objective, optimizer = our_parts(source.fresh(), rows)
    started = clock()  # as for the others: the adapter is on, training begins
    for numbers in order:
        result = our_step(objective, optimizer, numbers)
        losses.append(result.loss)
        tokens += result.tokens
    return Measured("", tokens, clock() - started, losses)


def our_parts(loaded: LoadedBase, rows: Sequence[Row]) -> tuple[Answers, Optimizer]:
    """Return what our loop consists of, ready for its first step."""
    model = _adapted(loaded)
    stand_in = llama.lean(model, [adapters.ALONE])
    slim(model)
    model.train()
    forward = Forward(model, half=loaded.is_half, lean=stand_in)
    return Answers(rows, forward, passes_for(loaded, stand_in)), trained(model, stand_in)


def our_step(objective: Answers, optimizer: Optimizer, numbers: Sequence[int]) -> StepResult:
    """Take a step of our loop."""
    result = objective.learn(numbers)
    optimizer.step()
    return result


def hf_trainer(
    source: Source, rows: Sequence[Row], steps: int, batch: int, seed: int = SEED
) -> Measured:
    from transformers import Trainer, TrainingArguments

    loaded = source.fresh()
    arguments = TrainingArguments(**_arguments(steps, batch))

    class Ordered(Trainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)  # type: ignore[arg-type]

    trainer = Ordered(
        model=_adapted(loaded, seed),
        args=arguments,
        train_dataset=_Labelled(rows),  # type: ignore[arg-type]
        data_collator=_Collator(loaded.pad_id),
    )
    return _run(trainer, rows)


def trl_trainer(source: Source, rows: Sequence[Row], steps: int, batch: int) -> Measured:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    loaded = source.fresh()
    arguments = SFTConfig(
        **_arguments(steps, batch),
        gradient_checkpointing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
    )

    class Ordered(SFTTrainer):  # type: ignore[misc,valid-type]
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)  # type: ignore[arg-type]

    trainer = Ordered(
        model=_adapted(loaded),
        args=arguments,
        train_dataset=Dataset.from_list([_labelled(row) for row in rows]),
        processing_class=loaded.tokenizer,
    )
    return _run(trainer, rows)


def _run(trainer: Any, rows: Sequence[Row]) -> Measured:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    started = clock()
    trainer.train()
    seconds = clock() - started
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Measured("", sum(len(row.ids) for row in rows), seconds, losses)


def _arguments(steps: int, batch: int) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(prefix="bench-"),
        "per_device_train_batch_size": batch,
        "max_steps": steps,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_grad_norm": CLIP,
        "optim": "adamw_torch_fused",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": not CUDA,
        "bf16": CUDA,
        "seed": SEED,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": CUDA,
    }


def _adapted(loaded: LoadedBase, seed: int = SEED) -> Any:
    torch.manual_seed(seed)
    return adapters.attach(loaded.model, DEFAULTS)


def _labelled(row: Row) -> dict[str, list[int]]:
    labels = [i if learn else -100 for i, learn in zip(row.ids, row.learned, strict=True)]
    return {"input_ids": row.ids, "labels": [-100, *labels[1:]]}


class _Labelled(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = [_labelled(row) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> dict[str, list[int]]:
        return self._rows[at]


class _Collator:
    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, some: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(one["input_ids"]) for one in some)

        def padded(name: str, filler: int) -> torch.Tensor:
            return torch.tensor([o[name] + [filler] * (longest - len(o[name])) for o in some])

        ids = padded("input_ids", self._pad_id)
        labels = padded("labels", -100)
        real = [[1] * len(o["input_ids"]) + [0] * (longest - len(o["input_ids"])) for o in some]
        return {"input_ids": ids, "labels": labels, "attention_mask": torch.tensor(real)}


def matrix_rate() -> float:
    """Return the card's floating-point operations per second in a large bf16 product."""
    one = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        one @ one
    started = clock()
    for _ in range(50):
        one @ one
    return 50 * 2 * 8192**3 / (clock() - started)
