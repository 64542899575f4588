"""What "auto" means: defaults from the model's folder, else general ones, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Chosen", "Exploration", "TrainingDefaults", "choose", "read_defaults", "with_options"]

DEFAULTS_FILE = "training_defaults.json"
_AIM_STEPS = 100
_MAX_EPOCHS = 10
_MAX_BATCH = 16
_BETA = 0.1
_PREFERENCE_MULTIPLIER = 0.1
_FULL_SHARE = 0.1
_SAMPLES = 8
_MOST_SAMPLES = 64
_NEW_TOKENS = 256
_LORA_FIELDS = {
    "r": "lora_r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "target_modules": "target_modules",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}


@dataclass(frozen=True, kw_only=True)
class TrainingDefaults:
    """How a base model likes to be tuned; ``max_length`` in tokens, None for its whole context.

    None for ``n_epochs`` or ``batch_size`` lets the number of examples decide.
    """

    learning_rate: float = 2e-4
    n_epochs: int | None = None
    batch_size: int | None = None
    lora_r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    use_rslora: bool = False
    use_dora: bool = False
    target_modules: str | tuple[str, ...] = "all-linear"
    max_length: int | None = None
    new_tokens: int = _NEW_TOKENS
    source: str = "the general defaults"


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """How a job looks for rewards: answers drawn for a prompt, and when it is evaluated.

    ``eval_interval`` in steps (None: at the end of an epoch), ``eval_samples`` answers for each
    prompt of the validation file.
    """

    compute_multiplier: float
    samples: int
    eval_interval: int | None
    eval_samples: int

    def reported(self) -> dict[str, float]:
        """Return the hyperparameters the API knows."""
        interval = {} if self.eval_interval is None else {"eval_interval": self.eval_interval}
        return {
            "compute_multiplier": self.compute_multiplier,
            "eval_samples": self.eval_samples,
            **interval,
        }


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The numbers a job is trained with, and the sentence that says why."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    learning_rate: float
    why: str
    beta: float | None = None
    exploration: Exploration | None = None

    def reported(self) -> dict[str, float]:
        """Return the hyperparameters the API knows, those of the method where they count."""
        reported: dict[str, float] = {
            "n_epochs": self.n_epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }
        if self.exploration is not None:
            reported |= self.exploration.reported()
        return reported if self.beta is None else {**reported, "beta": self.beta}


def read_defaults(folder: Path | None) -> TrainingDefaults:
    """Read ``training_defaults.json`` beside a model, where there is one.

    Raises:
        ModelError: the file is there but cannot be used.
    """
    file = None if folder is None else folder / DEFAULTS_FILE
    if file is None or not file.is_file():
        return TrainingDefaults()
    try:
        return _parse(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} cannot be used: {error}") from error


def with_options(defaults: TrainingDefaults, options: Mapping[str, Any]) -> TrainingDefaults:
    """Return the defaults with what a job asked for beyond the API's hyperparameters."""
    lora = options.get("lora", {})
    changes: dict[str, Any] = {_LORA_FIELDS[name]: value for name, value in lora.items()}
    if isinstance(changes.get("target_modules"), list):
        changes["target_modules"] = tuple(changes["target_modules"])
    if "lora_r" in changes and "lora_alpha" not in changes:
        changes["lora_alpha"] = 2 * changes["lora_r"]
    if "max_length" in options:
        changes["max_length"] = options["max_length"]
    if "max_completion_tokens" in options:
        changes["new_tokens"] = options["max_completion_tokens"]
    if options.get("tuning") == "full":
        changes["learning_rate"] = defaults.learning_rate * _FULL_SHARE
        changes["source"] = f"{defaults.source}, a tenth of it since all weights are trained"
    if "learning_rate" in options:
        changes |= {"learning_rate": options["learning_rate"], "source": "the job itself"}
    return replace(defaults, **changes)


def choose(
    requested: Mapping[str, float | str], defaults: TrainingDefaults, examples: int
) -> Chosen:
    """Turn "auto" into numbers for a training file with ``examples`` rows.

    Whoever learns preferences says so by a ``beta`` among the requested, whoever learns from
    rewards by a ``compute_multiplier``.
    """
    exploration = _explore(requested) if "compute_multiplier" in requested else None
    beta = (_given(requested, "beta") or _BETA) if "beta" in requested else None
    batch = _given(requested, "batch_size")
    epochs = _given(requested, "n_epochs")
    multiplier = _given(requested, "learning_rate_multiplier")
    reasons = []
    if batch is None:
        batch = defaults.batch_size or min(_MAX_BATCH, max(1, examples // 8))
        reasons.append(f"batch_size {batch:g} {_origin(defaults.batch_size, defaults, examples)}")
    if epochs is None:
        steps = -(-examples // int(batch))
        epochs = defaults.n_epochs or min(_MAX_EPOCHS, max(3, -(-_AIM_STEPS // steps)))
        reasons.append(f"n_epochs {epochs:g} {_origin(defaults.n_epochs, defaults, examples)}")
    if multiplier is None:
        multiplier, kept = 1.0, "keeps the default learning rate"
        if beta is not None or exploration is not None:
            multiplier = _PREFERENCE_MULTIPLIER
            kept = f"since {'rewards' if beta is None else 'preferences'} need less"
        reasons.append(f"learning_rate_multiplier {multiplier:g} {kept}")
    if exploration is not None:
        reasons.append(
            f"{exploration.samples} answers for a prompt = {_SAMPLES} x compute_multiplier "
            f"{exploration.compute_multiplier:g}, within 2 and {_MOST_SAMPLES}"
        )
    rate = defaults.learning_rate * multiplier
    said = "; ".join(reasons) or "all hyperparameters were given"
    return Chosen(
        n_epochs=int(epochs),
        batch_size=int(batch),
        learning_rate_multiplier=float(multiplier),
        learning_rate=rate,
        beta=beta,
        exploration=exploration,
        why=f"Hyperparameters: {said}. Learning rate {rate:g} = {defaults.learning_rate:g} (from "
        f"{defaults.source}) x {multiplier:g}.",
    )


def _explore(requested: Mapping[str, float | str]) -> Exploration:
    multiplier = _given(requested, "compute_multiplier") or 1.0
    interval = _given(requested, "eval_interval")
    return Exploration(
        compute_multiplier=multiplier,
        samples=min(_MOST_SAMPLES, max(2, round(_SAMPLES * multiplier))),
        eval_interval=None if interval is None else int(interval),
        eval_samples=int(_given(requested, "eval_samples") or 1),
    )


def _given(requested: Mapping[str, float | str], name: str) -> float | None:
    value = requested.get(name, "auto")
    return None if isinstance(value, str) else value


def _origin(default: int | None, defaults: TrainingDefaults, examples: int) -> str:
    return f"for {examples} examples" if default is None else f"from {defaults.source}"


def _parse(raw: dict[str, Any]) -> TrainingDefaults:
    lora = raw.get("lora", {})
    general = TrainingDefaults()
    modules = lora.get("target_modules", general.target_modules)
    return TrainingDefaults(
        learning_rate=float(raw.get("learning_rate", general.learning_rate)),
        n_epochs=_count(raw.get("n_epochs")),
        batch_size=_count(raw.get("batch_size")),
        lora_r=int(lora.get("r", general.lora_r)),
        lora_alpha=float(lora.get("alpha", general.lora_alpha)),
        target_modules=modules if isinstance(modules, str) else tuple(modules),
        max_length=_count(raw.get("max_length")),
        source=f"the model's {DEFAULTS_FILE}",
    )


def _count(value: object) -> int | None:
    return None if value in (None, "auto") else int(value)  # type: ignore[call-overload]
