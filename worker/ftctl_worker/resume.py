"""What a trainer needs to go on after its last stored step, in one safetensors file.

The order of rows and all randomness follow from the seed and the step, so nothing of that is
kept: a resumed run ends with the same adapter as an undisturbed one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Progress", "restore", "store"]

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """How far a job is: steps, trained tokens and the metrics of every step.

    ``best`` is the lowest validation loss so far, ``worse`` how many epochs ago that was.
    """

    step: int = 0
    tokens: int = 0
    metrics: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    worse: int = 0


def store(
    file: Path,
    progress: Progress,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything in one step: a reader sees the old file or the new one."""
    tensors = {}
    for name, parameter in parameters.items():
        tensors[name] = parameter.detach()
        # Nothing that was ever learned means no moments: equal rewards teach nothing.
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"{name}/{moment}": moments[moment] for moment in _MOMENTS if moment in moments}
    draft = file.with_name(f".{file.name}")
    try:
        save_file(tensors, draft, metadata={"progress": json.dumps(asdict(progress))})
        draft.replace(file)
    except Exception:
        draft.unlink(missing_ok=True)
        raise


def restore(
    file: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Put parameters and optimizer back to the last stored step, where there is one.

    A file that cannot be used means a start from the beginning.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            names = set(stored.keys())
            if not set(parameters) <= names:
                return Progress()
            for name, parameter in parameters.items():
                with torch.no_grad():
                    parameter.copy_(stored.get_tensor(name))
                if f"{name}/{_MOMENTS[0]}" in names:
                    optimizer.state[parameter] = {
                        moment: stored.get_tensor(f"{name}/{moment}").to(parameter.device)
                        for moment in _MOMENTS
                    }
            return Progress(**json.loads(stored.metadata()["progress"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return Progress()
