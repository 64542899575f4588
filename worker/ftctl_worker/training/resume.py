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

    from ftctl_worker.training.flat import Flat

__all__ = ["Progress", "State"]

_STEP = "step"
_MOMENTS = (_STEP, "exp_avg", "exp_avg_sq")


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


class State:
    """The trained numbers of a job and what its optimizer knows of them, by name."""

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        flat: Flat | None,
    ) -> None:
        """Look after ``parameters``; in ``flat``, where the optimizer knows one tensor of them."""
        self._parameters = parameters
        self._optimizer = optimizer
        self._flat = flat

    def store(self, file: Path, progress: Progress) -> None:
        """Write everything in one step: a reader sees the old file or the new one."""
        tensors = {name: value.detach() for name, value in self._parameters.items()}
        for moment in _MOMENTS:
            for name, value in self._moments(moment).items():
                tensors[f"{name}/{moment}"] = value
        draft = file.with_name(f".{file.name}")
        try:
            save_file(tensors, draft, metadata={"progress": json.dumps(asdict(progress))})
            draft.replace(file)
        except Exception:
            draft.unlink(missing_ok=True)
            raise

    def restore(self, file: Path) -> Progress:
        """Put numbers and optimizer back to the last stored step, where there is one.

        A file that cannot be used means a start from the beginning.
        """
        try:
            with safe_open(file, framework="pt") as stored:
                names = set(stored.keys())
                if not set(self._parameters) <= names:
                    return Progress()
                moments = {
                    name: {one: stored.get_tensor(f"{name}/{one}") for one in _MOMENTS}
                    for name in self._parameters
                    if f"{name}/{_STEP}" in names
                }
                progress = Progress(**json.loads(stored.metadata()["progress"]))
                with torch.no_grad():
                    for name, parameter in self._parameters.items():
                        parameter.copy_(stored.get_tensor(name))
                self._put(moments)
                return progress
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return Progress()

    def _moments(self, moment: str) -> dict[str, torch.Tensor]:
        """Return one moment by name; nothing was ever learned where equal rewards teach nothing."""
        states = self._optimizer.state
        if self._flat is None:
            known = {name: states.get(one, {}) for name, one in self._parameters.items()}
            return {name: its[moment] for name, its in known.items() if moment in its}
        whole = states.get(self._flat.values, {}).get(moment)
        if whole is None:
            return {}
        if moment == _STEP:
            return {name: whole.clone() for name in self._parameters}
        return self._flat.by_name(whole, self._parameters)

    def _put(self, moments: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        if self._flat is None:
            for name, some in moments.items():
                parameter = self._parameters[name]
                own = {one: value.to(parameter.device) for one, value in some.items()}
                self._optimizer.state[parameter] = own
        elif moments:
            whole = self._flat.values
            own = {_STEP: next(iter(moments.values()))[_STEP]}
            for moment in set(_MOMENTS) - {_STEP}:
                own[moment] = torch.zeros_like(whole)
                parts = self._flat.by_name(own[moment], self._parameters)
                for name, some in moments.items():
                    parts[name].copy_(some[moment])
            self._optimizer.state[whole] = own
