"""The command lines of a trainer: a plain process, and one process for each of several cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["on_cards", "plain"]


def plain(python: str, arguments: Sequence[str]) -> list[str]:
    """Return the command of a trainer."""
    return [python, "-m", "ftctl_worker.train", *arguments]


def on_cards(python: str, arguments: Sequence[str], *, gpus: int, shard: bool) -> list[str]:
    """Return the command that a trainer becomes where it has several cards, through accelerate.

    Each card has a copy of the model and a part of the batch; with ``shard`` it has a part of the
    model, too (FSDP), for models that are too large for one.
    """
    sharded = [
        "--use_fsdp",
        *("--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
        *("--fsdp_state_dict_type", "FULL_STATE_DICT"),
    ]
    return [
        *(python, "-m", "accelerate.commands.launch"),
        *("--num_machines", "1", "--num_processes", str(gpus)),
        *("--mixed_precision", "bf16", "--dynamo_backend", "no"),
        *(sharded if shard else ["--multi_gpu"]),
        *("-m", "ftctl_worker.train", *arguments),
    ]
