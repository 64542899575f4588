"""Our training loop against HF Trainer and TRL, and mixed chats against single ones, in one run.

The same model, rows, batches, steps and settings for all loops; the losses of each step must agree.
On a CPU the unit is tokens per CPU second of one thread, since other work may run on the machine; on
a CUDA device it is tokens per second, with a larger model of random weights in bf16, and the share
of the card's measured matrix rate that the model's arithmetic reaches (4 N per token with LoRA).

    pip install './worker[trl]'
    python bench/worker.py [--steps 30]
"""

# ruff: noqa: E402 - threads are told how to wait before torch is imported
from __future__ import annotations

import argparse
import gc
import itertools
import math
import os
import random
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")
import torch
from ftctl_worker import adapters
from ftctl_worker.bases import BaseModel, Catalog
from ftctl_worker.batches import (
    PASS_OVERHEAD,
    PASS_OVERHEAD_ON_CUDA,
    TOKENS_PER_PASS,
    epoch_order,
)  # fmt: skip
from ftctl_worker.chat_request import ChatRequest
from ftctl_worker.dataset import Example
from ftctl_worker.engine import Target, Ticket
from ftctl_worker.forward import Forward
from ftctl_worker.hardware import resident_bytes
from ftctl_worker.hyperparameters import TrainingDefaults
from ftctl_worker.loading import device, load_base
from ftctl_worker.lora import slim
from ftctl_worker.objective import Answers, Passes, StepResult
from ftctl_worker.rendering import render_rows
from ftctl_worker.replies import Done
from ftctl_worker.serving import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftctl_worker.loading import LoadedBase
    from ftctl_worker.rendering import Row

CUDA = torch.cuda.is_available()
BATCH, RATE, CLIP, SEED = 16, 5e-3, 1.0, 7
DEFAULTS = TrainingDefaults(lora_r=16, lora_alpha=32)
SHAPE = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32_000,
    "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
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

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def clock() -> float:
    """Return CPU seconds of this process, or wall seconds where a card does the work."""
    if not CUDA:
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        base = _large(place) if CUDA else Catalog().resolve("tiny")
        if options.memory_steps:
            print("\n".join(memory_table(base, place, options.memory_steps)))
            return
        lines = [
            *training_table(base, place, options.steps, options.repeats),
            "",
            *chat_table(base, place),
        ]
    print("\n" + "\n".join(lines))


def training_table(base: BaseModel, place: Path, steps: int, repeats: int) -> list[str]:
    """Train with every loop, and compare."""
    loaded = _load(base, place)
    rows = make_rows(loaded, BATCH * steps, longest=1024 if CUDA else 256)
    plain = [list(range(at, at + BATCH)) for at in range(0, len(rows), BATCH)]
    near = epoch_order(rows, BATCH, SEED, 0)
    ordered = [rows[number] for numbers in near for number in numbers]
    ways: list[Measured] = []
    for name, way in (
        ("TRL SFTTrainer", lambda: trl_trainer(base, place, rows, steps)),
        ("HF Trainer + peft", lambda: hf_trainer(base, place, rows, steps)),
        ("our loop", lambda: our_loop(base, place, rows, plain)),
        ("TRL, rows of like length", lambda: trl_trainer(base, place, ordered, steps)),
        ("our loop, rows of like length", lambda: our_loop(base, place, rows, near)),
    ):
        gc.collect()
        if CUDA:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        print(f"{name} ...", flush=True)
        measured = min((way() for _ in range(repeats)), key=lambda one: one.seconds)
        measured.name = name
        if CUDA:
            measured.peak_mib = torch.cuda.max_memory_allocated() / 2**20
        ways.append(measured)
    unit = "tok/s" if CUDA else "tok/CPU-s"
    parameters = sum(value.numel() for value in loaded.model.parameters())
    lines = [
        f"Training {base.name} ({parameters / 1e6:.1f}M), LoRA r 16 on all linear layers, "
        f"{steps} steps of {BATCH} rows, {device()}",
        f"{'loop':<32}{unit:>12}{'ratio':>8}{'first loss':>12}{'last loss':>12}"
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
    alike = ((ways[2], ways[0]), (ways[2], ways[1]), (ways[4], ways[3]))
    apart = max(
        abs(a - b) / b
        for ours, theirs in alike
        for a, b in zip(ours.losses, theirs.losses, strict=True)
    )
    lines.append(f"With rows of like length, ours / TRL: {ways[4].rate / ways[3].rate:.2f}")
    lines.append(
        f"Largest difference of a step's loss between our loop and the others: {apart:.1e}"
    )
    return lines


def our_loop(
    base: BaseModel,
    place: Path,
    rows: Sequence[Row],
    order: Sequence[Sequence[int]],
    precision: Any = None,
) -> Measured:
    loaded = _load(base, place, precision)
    losses, tokens, started = [], 0, clock()
    for result in _steps(loaded, rows, order):
        losses.append(result.loss)
        tokens += result.tokens
    return Measured("", tokens, clock() - started, losses)


def _steps(
    loaded: LoadedBase, rows: Sequence[Row], order: Iterable[Sequence[int]]
) -> Iterator[StepResult]:
    torch.manual_seed(SEED)
    model = adapters.attach(loaded.model, DEFAULTS)
    slim(model)
    model.train()
    passes = Passes(
        longest=loaded.context,
        pad_id=loaded.pad_id,
        tokens=TOKENS_PER_PASS,
        overhead=PASS_OVERHEAD_ON_CUDA if CUDA else PASS_OVERHEAD,
    )
    objective = Answers(rows, Forward(model, half=loaded.is_half), passes)
    parameters = adapters.trainable(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE, weight_decay=0.0, fused=True)
    for numbers in order:
        result = objective.learn(numbers)
        torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield result


def memory_table(base: BaseModel, place: Path, steps: int) -> list[str]:
    """Train with rows of all lengths, and look at the memory of the process ten times."""
    loaded = _load(base, place)
    rows = make_rows(loaded, 40 * BATCH, longest=256)
    lines = [f"Memory of our loop with {base.name} over {steps} steps", f"{'step':>8}{'MiB':>8}"]
    orders = (epoch_order(rows, BATCH, SEED, epoch) for epoch in range(steps))
    numbers = (some for order in orders for some in order)
    for step, _ in enumerate(_steps(loaded, rows, itertools.islice(numbers, steps)), start=1):
        if step % max(1, steps // 10) == 0:
            lines.append(f"{step:>8}{(resident_bytes() or 0) / 2**20:>8.0f}")
    return lines


def hf_trainer(base: BaseModel, place: Path, rows: Sequence[Row], steps: int) -> Measured:
    from transformers import Trainer, TrainingArguments

    loaded = _load(base, place)
    arguments = TrainingArguments(**_arguments(place, steps))

    class Ordered(Trainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)  # type: ignore[arg-type]

    trainer = Ordered(
        model=_adapted(loaded),
        args=arguments,
        train_dataset=_Labelled(rows),  # type: ignore[arg-type]
        data_collator=_Collator(loaded.pad_id),
    )
    return _run(trainer, rows)


def trl_trainer(base: BaseModel, place: Path, rows: Sequence[Row], steps: int) -> Measured:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    loaded = _load(base, place)
    arguments = SFTConfig(
        **_arguments(place, steps),
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


def _arguments(place: Path, steps: int) -> dict[str, Any]:
    return {
        "output_dir": str(place / "trainer"),
        "per_device_train_batch_size": BATCH,
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


def _adapted(loaded: LoadedBase) -> Any:
    torch.manual_seed(SEED)
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


def chat_table(base: BaseModel, place: Path) -> list[str]:
    """Answer the same requests one by one, and in batches that mix adapters."""
    lines = []
    for count in (4, 8):
        folders = _some_adapters(base, place, count)
        shelf = Shelf(cache=place, threads=torch.get_num_threads(), precision="auto")
        mixed, alone = 0.0, 0.0
        for one in folders:
            _answer(shelf, base, [one], 1)
        print(f"chats for {count} adapters ...", flush=True)
        single = [_answer(shelf, base, [folders[n % count]], 1, n) for n in range(32)]
        alone = sum(one.tokens for one in single) / sum(one.seconds for one in single)
        mixed = max(_answer(shelf, base, folders, 32).rate for _ in range(3))
        lines.append(f"{count:>8}{alone:>18,.0f}{mixed:>14,.0f}{mixed / alone:>8.2f}")
    unit = "tok/s" if CUDA else "tok/CPU-s"
    return [
        f"Chats with {base.name}: 32 requests, 24 new tokens each, {unit}",
        f"{'adapters':>8}{'one by one':>18}{'mixed':>14}{'ratio':>8}",
        *lines,
    ]


def _answer(
    shelf: Shelf, base: BaseModel, folders: Sequence[Path], count: int, first: int = 0
) -> Measured:
    done: list[Done] = []
    tickets = []
    for number in range(first, first + count):
        content = f"ticket {number}: " + " ".join(WORDS[: 5 + number % 11])
        chat = ChatRequest(
            model="m", messages=[{"role": "user", "content": content}], tools=None, max_tokens=24,
            temperature=0, top_p=1, seed=1, stop=(), stream=False, include_usage=False,
        )  # fmt: skip
        target = Target(base, folders[number % len(folders)])
        tickets.append(
            Ticket(
                chat, target, lambda reply: done.append(reply) if isinstance(reply, Done) else None
            )
        )
    started = clock()
    shelf.answer(tickets)
    seconds = clock() - started
    assert len(done) == count
    return Measured("", sum(one.completion_tokens for one in done), seconds)


def _some_adapters(base: BaseModel, place: Path, count: int) -> list[Path]:
    folders = []
    for number in range(count):
        folder = place / f"adapters-{count}" / f"job-{number}" / "step-1"
        torch.manual_seed(number)
        model = adapters.attach(_load(base, place).model, DEFAULTS)
        for name, value in adapters.trainable(model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.02)
        folder.parent.mkdir(parents=True)
        adapters.save(model, folder, base="b", name="ft:b", job_id="j", step=1, loss=0.0)
        folders.append(folder)
    return folders


def matrix_rate() -> float:
    """Return the card's floating-point operations per second in a large bf16 product."""
    one = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        one @ one
    started = clock()
    for _ in range(50):
        one @ one
    return 50 * 2 * 8192**3 / (clock() - started)


def _load(base: BaseModel, place: Path, precision: Any = None) -> LoadedBase:
    chosen = precision or ("bf16" if CUDA else "fp32")
    return load_base(base, precision=chosen, cache=place, training=True)


def _large(place: Path) -> BaseModel:
    """Save a Llama of a billion random weights with the tiny model's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tiny = Catalog().resolve("tiny")
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny.location, local_files_only=True)
    folder = place / "large"
    config = LlamaConfig(**SHAPE, eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    torch.manual_seed(SEED)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseModel(name="llama-1b-random", kind="folder", location=str(folder))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the worker against its peers.")
    parser.add_argument("--steps", type=int, default=30, help="steps per loop")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each, the fastest counts")
    parser.add_argument("--memory-steps", type=int, default=0, help="watch memory instead")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    return parser


if __name__ == "__main__":
    main()
