"""What a trainer of transformers does, told to the ledger: steps, checkpoints, stopping."""

# ruff: noqa: ARG002 - a callback's signature is given

from __future__ import annotations

import json
import math
import shutil
import time
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback

from ftctl_worker.errors import JobSupersededError
from ftctl_worker.models import adapters
from ftctl_worker.settings import process_count, process_rank
from ftctl_worker.training.early_stopping import BestEpoch
from ftctl_worker.training.resume import Progress
from ftctl_worker.training.run import TrainingDivergedError
from ftctl_worker.training.stopping import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftctl_worker.home import Home
    from ftctl_worker.job import Job
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.stopping import StopRequest

__all__ = ["Reporter", "last_state"]

_KEPT_EPOCHS = 3
_STORE_SECONDS = 60.0
_HISTORY = "history.json"
# What trainers call things, and what the API calls them; accuracy is of tokens or of pairs.
_NAMES = {
    "loss": "train_loss",
    "mean_token_accuracy": "train_mean_token_accuracy",
    "rewards/accuracies": "train_mean_token_accuracy",
    "reward": "train_reward_mean",
    "reward_std": "train_reward_std",
    "completions/mean_length": "completion_tokens_mean",
}
_EVALUATED = {
    "eval_loss": ("valid_loss", "full_valid_loss"),
    "eval_mean_token_accuracy": (
        "valid_mean_token_accuracy",
        "full_valid_mean_token_accuracy",
    ),
    "eval_rewards/accuracies": ("valid_mean_token_accuracy", "full_valid_mean_token_accuracy"),
    "eval_reward": ("valid_reward_mean",),
}


class Reporter(TrainerCallback):
    """Follows a trainer step by step; a step it may not take ends the training by its error."""

    def __init__(
        self, job: Job, ledger: Ledger, home: Home, stop: StopRequest, *, epochs: int, patience: int
    ) -> None:
        """Report for ``job``."""
        self.best_step: int | None = None
        self.metrics: list[dict[str, float]] = []
        self.stopped = False
        self.superseded: JobSupersededError | None = None
        self._job = job
        self._ledger = ledger
        self._folder = home.trainer_state(job.id)
        self._stop = stop
        self._epochs = epochs
        self._best = BestEpoch(patience, Progress())
        self._open: dict[str, float] | None = None
        self._alarm = Alarm(_STORE_SECONDS)
        self._started, self._first = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take over what an earlier attempt has seen."""
        self._started, self._first = time.monotonic(), state.global_step
        if state.global_step:
            self.metrics = _read_history(self._folder, state.global_step)
            self._best = BestEpoch(self._best.patience, Progress(metrics=self.metrics))
            self._ledger.say(f"Resuming after step {state.global_step}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Take the metrics of a step, and report the one before."""
        if not logs or "loss" not in logs:
            return
        self._close(state, control)
        if not math.isfinite(logs["loss"]):
            raise TrainingDivergedError
        told = {name: value for name, value in logs.items() if value is not None}
        named = {_NAMES[name]: round(float(told[name]), 6) for name in told if name in _NAMES}
        self._open = {"step": state.global_step, **named}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Ask for a stored state where one is due."""
        leaves = self._stop.is_set or self.superseded is not None
        leaves, is_due = _agreed(args.device, leaves, self._alarm.rings())
        if leaves:
            control.should_training_stop = True
            self.stopped = state.global_step < state.max_steps
        control.should_save = control.should_save or leaves or is_due
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Evaluate and save nothing at the end of an epoch that was broken off."""
        if self.stopped and state.global_step % self._steps(state):
            control.should_evaluate = control.should_save = False
        return control

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """Add the validation metrics to the step they belong to."""
        for name, value in (metrics or {}).items():
            for known in _EVALUATED.get(name, ()):
                if self._open is not None:
                    self._open[known] = round(float(value), 6)
        if self._open is not None and "valid_reward_mean" in self._open:
            self._open["valid_loss"] = 0.0 - self._open["valid_reward_mean"]

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> Any:
        """Offer the model of an epoch that has ended, and keep the history beside the state."""
        metrics = self._close(state, control)
        every = self._steps(state)
        if metrics is not None and state.global_step % every == 0:
            self._best.see(metrics)
            if self._best.patience or state.global_step > state.max_steps - _KEPT_EPOCHS * every:
                several = args.world_size > 1
                self._tell(
                    control,
                    lambda: self._checkpoint(model, metrics, every, several=several),
                )
        if state.is_world_process_zero:
            _write_history(self._folder, self.metrics)
        if self._best.is_long_ago:
            self.best_step = self._best.step
            control.should_training_stop = True
        return control

    def finish(self, state: Any, tokens: int) -> None:
        """End the job well, and drop what was kept to go on.

        Raises:
            JobSupersededError: the job was cancelled or paused meanwhile.
        """
        self._close(state, None)
        if self.superseded is not None:
            raise self.superseded
        if self.best_step is not None:
            self._ledger.say(
                f"Stopping early: the validation loss was lowest at step {self.best_step}"
            )
        best = self._best.step or state.global_step
        self._ledger.succeed(best, tokens, self.metrics)
        if process_rank() in (None, 0):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _checkpoint(
        self, model: Any, metrics: dict[str, float], every: int, *, several: bool
    ) -> None:
        step = int(metrics["step"])
        # With several processes the model may be in parts; the trainer has just put it together.
        weights = self._folder / f"checkpoint-{step}" / adapters.WEIGHTS_FILE if several else None
        if process_rank() in (None, 0):
            adapters.save(
                model.module if hasattr(model, "module") else model,
                self._ledger.adapter_folder(step),
                base=self._job.model,
                name=self._ledger.model_name,
                job_id=self._job.id,
                step=step,
                loss=metrics["train_loss"],
                weights=weights,
            )
        self._ledger.checkpoint(step, metrics)
        self._ledger.prune({*self._best.kept, *(step - n * every for n in range(_KEPT_EPOCHS))})

    def _steps(self, state: Any) -> int:
        """Return how many steps an epoch has."""
        return max(1, int(state.max_steps) // self._epochs)

    def _tell(self, control: Any, saying: Callable[[], None]) -> None:
        """Tell the ledger something, as long as the job is ours.

        Where it is not any more, the trainer stores its state and stops: a paused job goes on from
        there. One of several processes cannot stop alone, so all do after the next step.
        """
        if self.superseded is not None:
            return
        try:
            saying()
        except JobSupersededError as error:
            self.superseded = error
            if process_count() == 1:
                self.stopped = True
                if control is not None:
                    control.should_training_stop = control.should_save = True

    def _close(self, state: Any, control: Any) -> dict[str, float] | None:
        """Report the step at hand, once; return the last one that was reported."""
        metrics, self._open = self._open, None
        if metrics is None:
            return self.metrics[-1] if self.metrics else None
        self.metrics.append(metrics)
        step = int(metrics["step"])
        self._tell(
            control,
            partial(
                self._ledger.step,
                metrics,
                total=state.max_steps,
                started=self._started,
                done=max(1, step - self._first),
                todo=state.max_steps - step,
            ),
        )
        return metrics


def _agreed(device: Any, *flags: bool) -> list[bool]:
    """Return for each flag whether any process of the job has it set."""
    if process_count() == 1:
        return list(flags)
    found = torch.tensor(flags, dtype=torch.int32, device=device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return [bool(one) for one in found.tolist()]


def last_state(folder: Path) -> Path | None:
    """Return the newest state that is whole; its file trainer_state.json is written last.

    A machine that lost its power may have the names of files, but not all of what is in them.
    """
    written = [file.parent for file in folder.glob("checkpoint-*/trainer_state.json")]
    whole = [place for place in written if all(map(_is_whole, place.iterdir()))]
    numbered = {int(place.name.rpartition("-")[2]): place for place in whole}
    return numbered[max(numbered)] if numbered else None


def _is_whole(file: Path) -> bool:
    """Tell whether a file of a stored state was written to its end, as far as its kind shows it."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as stored:
                return bool(stored.keys())
        if file.suffix in {".pt", ".pth", ".bin"}:
            return zipfile.is_zipfile(file)
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError):
        return False
    return True


def _write_history(folder: Path, metrics: list[dict[str, float]]) -> None:
    draft = folder / f".{_HISTORY}"
    draft.write_text(json.dumps(metrics), encoding="ascii")
    draft.replace(folder / _HISTORY)


def _read_history(folder: Path, steps: int) -> list[dict[str, float]]:
    try:
        metrics = json.loads((folder / _HISTORY).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return []
    return [one for one in metrics if one["step"] <= steps]
