"""How much memory a job will take, known before its weights are loaded.

The estimate is rough on purpose: weights exactly, activations by the rule of thumb of Korthikanti
et al., "Reducing Activation Recomputation" (2022), counted for attention that keeps no scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.errors import WorkerError

if TYPE_CHECKING:
    from ftctl_worker.hyperparameters import TrainingDefaults

__all__ = [
    "MemoryPlan", "TooLargeError", "available_bytes", "check_weights", "plan_memory",
]  # fmt: skip

_MIB = 1024 * 1024
_PROCESS = 400 * _MIB
_CGROUP = Path("/sys/fs/cgroup")
_ROUNDS = 8


class TooLargeError(WorkerError):
    """The job needs more memory than the machine has left; the message has the numbers."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a job is trained to fit: tokens per pass, and whether activations are computed twice.

    ``is_tight`` where that costs time.
    """

    tokens_per_pass: int
    checkpointing: bool
    needed: int
    available: int
    is_tight: bool = False

    def describe(self) -> str:
        """Return the sentence for the job's events."""
        text = (
            f"Memory: about {self.needed // _MIB:,} MiB of {self.available // _MIB:,} MiB, "
            f"{self.tokens_per_pass:,} tokens in a pass"
        )
        return text + (", activations computed twice" if self.checkpointing else "")


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What counts of a model: layers, widths and bytes per number."""

    layers: int
    hidden: int
    inner: int
    vocabulary: int
    weights: int
    number: int

    def fixed(self, rank: int, trained: int | None = None) -> int:
        """Return the bytes that do not depend on the batch: weights, adapter and its moments."""
        if trained is not None:
            return _PROCESS + self.weights + 12 * trained
        adapter = self.layers * rank * (9 * self.hidden + 3 * self.inner)
        return _PROCESS + self.weights + 20 * adapter

    def per_token(self, *, checkpointing: bool) -> int:
        """Return the bytes of activations for one token."""
        layer = self.number * (16 * self.hidden + 5 * self.inner)
        kept = self.layers * (self.number * self.hidden if checkpointing else layer)
        return kept + layer + 10 * self.vocabulary


def plan_memory(
    config: Any,
    *,
    weight_bytes: int,
    half: bool,
    defaults: TrainingDefaults,
    longest: int,
    wanted_tokens: int,
    available: int,
    checkpointing: bool | None = None,
    trained: int | None = None,
) -> MemoryPlan:
    """Choose the largest passes that fit; smaller passes come before computing twice.

    Args:
        config: the model's configuration.
        weight_bytes: what the weights take in memory.
        half: whether numbers take two bytes instead of four.
        defaults: the adapter's rank among other things.
        longest: tokens of the longest row, which one pass must hold.
        wanted_tokens: tokens of the largest pass worth having.
        available: bytes that the job may take.
        checkpointing: whether to compute activations twice; None decides by memory.
        trained: how many numbers of the weights are trained; None where it is an adapter.

    Raises:
        TooLargeError: not even the smallest plan fits.
    """
    shape = _shape(config, weight_bytes, half=half)
    plan = MemoryPlan(
        tokens_per_pass=max(longest, wanted_tokens),
        checkpointing=bool(checkpointing),
        needed=0,
        available=available,
    )
    while True:
        per_token = shape.per_token(checkpointing=plan.checkpointing)
        needed = shape.fixed(defaults.lora_r, trained) + per_token * plan.tokens_per_pass
        tight = plan.checkpointing or plan.tokens_per_pass < wanted_tokens
        plan = replace(plan, needed=needed, is_tight=tight)
        if needed <= available:
            return plan
        if plan.tokens_per_pass > max(longest, wanted_tokens >> _ROUNDS):
            plan = replace(plan, tokens_per_pass=max(longest, plan.tokens_per_pass // 2))
        elif not plan.checkpointing and checkpointing is None:
            plan = replace(plan, checkpointing=True, tokens_per_pass=max(longest, wanted_tokens))
        else:
            raise TooLargeError(
                f"The job needs about {needed // _MIB:,} MiB of memory, but only "
                f"{available // _MIB:,} MiB are free; use a smaller model, shorter examples (max_length "
                "cuts them), a smaller LoRA rank, or end other jobs."
            )


def check_weights(weight_bytes: int, available: int) -> None:
    """Make sure that weights of ``weight_bytes`` can be loaded at all.

    Raises:
        TooLargeError: they cannot.
    """
    needed = _PROCESS + weight_bytes
    if needed > available:
        raise TooLargeError(
            f"The model's weights need about {needed // _MIB:,} MiB of memory, but only "
            f"{available // _MIB:,} MiB are free; use a smaller model, or end other jobs."
        )


def available_bytes(device: torch.device) -> int:
    """Return the memory that may still be taken: of the card, else of the machine and its group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [amount for amount in (_machine(), _group()) if amount is not None]
    return min(free, default=1 << 62)


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _group() -> int | None:
    """Return what the control group has left; pages that can be dropped count as free."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    droppable = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(0, limit - used + droppable)


def _shape(config: Any, weight_bytes: int, *, half: bool) -> _Shape:
    text = getattr(config, "text_config", None) or config
    hidden = int(getattr(text, "hidden_size", 0) or 1024)
    return _Shape(
        layers=int(getattr(text, "num_hidden_layers", 0) or 24),
        hidden=hidden,
        inner=int(getattr(text, "intermediate_size", 0) or 4 * hidden),
        vocabulary=int(getattr(text, "vocab_size", 0) or 32_000),
        weights=weight_bytes,
        number=2 if half else 4,
    )
