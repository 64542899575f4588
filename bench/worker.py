"""The worker against its peers: training, several adapters together, mixed chats, memory.

The losses of each step must agree between the loops. On a CPU the unit is tokens per CPU second of
one thread, since other work may run on the machine, and all ways are measured in turn, the best of
several counts. On a CUDA device it is tokens per second in bf16, with random weights in published
shapes, and the share of the card's measured matrix rate that the model's arithmetic reaches (4 N
per token with LoRA).

    pip install './worker[trl]'
    python bench/worker.py [training|together|chat|memory] [--base smollm2] [--steps 10]
    python bench/worker.py --gpu
"""

# ruff: noqa: E402 - threads are told how to wait before torch is imported
from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")
import torch
from ftctl_worker.hardware import resident_bytes
from ftctl_worker.models.bases import Catalog
from ftctl_worker.training.batches import epoch_order
from worker_chat import chat_memory_table, chat_table
from worker_serve import serve_table
from worker_shared import CUDA, SEED, loaded_from, make_rows, random_weights
from worker_together import together_table
from worker_training import our_parts, our_step, training_table

if TYPE_CHECKING:
    from worker_shared import Source

WHAT = ("training", "together", "chat", "memory")
# https://huggingface.co/Qwen: config.json of Qwen2.5-0.5B, -1.5B and -7B
_QWEN = {"max_position_embeddings": 32_768, "rope_theta": 1_000_000.0, "vocab_size": 151_936}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-0.5b": _QWEN | {
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "qwen2.5-1.5b": _QWEN | {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "qwen2.5-7b": _QWEN | {
        "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False,
        "vocab_size": 152_064,
    },
}  # fmt: skip


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        lines = _gpu(Path(scratch), options) if options.gpu else _tables(Path(scratch), options)
    print("\n" + "\n".join(lines))


def _tables(place: Path, options: argparse.Namespace) -> list[str]:
    base = Catalog(allow_any=True).resolve(options.base)
    source, steps, repeats = loaded_from(base, place), options.steps, options.repeats
    lines = []
    if "training" in options.what:
        sizes = {"batch": options.batch, "longest": options.longest}
        lines += [*training_table(source, steps=steps, repeats=repeats, **sizes), ""]
    if "together" in options.what:
        lines += [*together_table(source, steps, repeats), ""]
    if "chat" in options.what:
        lines += [*chat_table(base, place, repeats), "", *serve_table(base, place, repeats), ""]
    if "memory" in options.what:
        lines += [*memory_table(source, options.memory_steps), ""]
        lines += chat_memory_table(base, place, 2 * options.memory_steps)
    return lines


def _gpu(place: Path, options: argparse.Namespace) -> list[str]:
    """Train random weights in published shapes; on a CPU this only shows that it runs."""
    lines = []
    for name in options.shape or SHAPES:
        source = random_weights(name, SHAPES[name], place)
        sizes = {"batch": options.batch, "longest": options.longest}
        found = training_table(source, steps=options.steps, repeats=options.repeats, **sizes)
        lines += [*found, ""]
    return lines


def memory_table(source: Source, steps: int) -> list[str]:
    """Train with rows of all lengths, and look at the memory of the process ten times."""
    loaded = source.fresh()
    rows = make_rows(loaded, 640, longest=256)
    lines = [f"Memory of our loop with {source.name}, {steps} steps", f"{'step':>8}{'MiB':>8}"]
    orders = (epoch_order(rows, 16, SEED, epoch) for epoch in range(steps))
    numbers = itertools.islice((some for order in orders for some in order), steps)
    objective, optimizer = our_parts(loaded, rows)
    for step, some in enumerate(numbers, start=1):
        our_step(objective, optimizer, some)
        if step % max(1, steps // 10) == 0:
            lines.append(f"{step:>8}{(resident_bytes() or 0) / 2**20:>8.0f}")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the worker against its peers.")
    add = parser.add_argument
    add("what", nargs="*", choices=WHAT, default=["training", "together", "chat"])
    add("--base", default="tiny", help="a base model (default: tiny)")
    add("--steps", type=int, default=10, help="steps per loop")
    add("--repeats", type=int, default=3, help="runs of each in turn, the fastest counts")
    add("--batch", type=int, default=16, help="rows of a step")
    add("--longest", type=int, default=1024 if CUDA else 256, help="tokens of the longest row")
    add("--memory-steps", type=int, default=500, help="steps to watch memory, and half the chats")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--gpu", action="store_true", help="random weights in published shapes instead")
    add("--shape", action="append", choices=list(SHAPES), help="only this shape (repeatable)")
    return parser


if __name__ == "__main__":
    main()
