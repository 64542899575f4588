"""A recipe: how a job was trained, in words that mean the same everywhere, and what becomes of it.

The same field means different things at different hosts. `learning_rate_multiplier` multiplies a
default that OpenAI and Azure do not publish; at the worker it multiplies a rate that belongs to the
base model. A number is carried over only where its meaning comes with it; everything else is left to
the target, and said so.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.jobs.job import Hyperparameters, Method
from orchestrator.domain.jobs.model_names import base_model, same_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.jobs.job import Job


class RateMeaning(StrEnum):
    """What a host's `learning_rate_multiplier` multiplies. The comment says who does so."""

    UNPUBLISHED = "a factor on a default that the provider does not publish"  #: OpenAI, Azure
    OF_THE_BASE = "a factor on the rate that suits the base model"  #: the worker
    ABSOLUTE = "the learning rate itself"  #: hosts that take a rate and no factor


class Rate(NamedTuple):
    """A learning rate, and what the number means."""

    value: float
    meaning: RateMeaning


class How(StrEnum):
    """What became of a setting."""

    KEPT = "kept"
    TRANSLATED = "translated"
    LEFT = "left to the target"


class Line(NamedTuple):
    """One setting, before and after; None where nothing was or is said."""

    name: str
    old: str | None
    new: str | None
    how: How
    why: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a job was trained.

    Attributes:
        epochs: passes over the data; as chosen, or as the provider told it chose.
        batch_size: examples a step.
        rate: learning rate with its meaning; None when it was never told.
        beta: dpo: how strongly the model is held to its base.
        lora_rank: rank of the adapter; None where the host does not say what it trains.
        lora_alpha: its scale.
        context: tokens of the longest example that is read whole; None when not told.
        seed: of everything drawn.
        others: what only one method knows, in the API's words.
    """

    method: Method
    base: str
    epochs: int | None = None
    batch_size: int | None = None
    rate: Rate | None = None
    beta: float | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None
    context: int | None = None
    seed: int | None = None
    suffix: str | None = None
    others: tuple[tuple[str, int | float | str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the recipe goes.

    Attributes:
        profile: its name; `model` the new base.
        meaning: what its learning-rate multiplier multiplies.
        suffix_limit: longest suffix, in characters.
    """

    profile: str
    model: str
    meaning: RateMeaning
    suffix_limit: int = 64


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A recipe in the target's words, and what became of every setting."""

    hyperparameters: Hyperparameters
    seed: int | None
    suffix: str | None
    lines: Sequence[Line]


def recipe_of(job: Job, meaning: RateMeaning) -> Recipe:
    """How a job was trained: what was chosen, and where nothing was, what the provider told.

    Args:
        job: as the ledger knows it.
        meaning: what its provider's multiplier multiplies.
    """
    told = _told(job)
    chosen = {**told, **job.hyperparameters.as_wire()}
    lora = told.get("lora")
    adapter = lora if isinstance(lora, dict) else {}
    rate = _number(chosen.get("learning_rate_multiplier"))
    absolute = _number(told.get("learning_rate"))
    return Recipe(
        method=job.method,
        base=base_model(job.model),
        epochs=_whole(chosen.get("n_epochs")),
        batch_size=_whole(chosen.get("batch_size")),
        rate=Rate(absolute, RateMeaning.ABSOLUTE)
        if absolute is not None
        else Rate(rate, meaning)
        if rate is not None
        else None,
        beta=_number(chosen.get("beta")) if job.method is Method.DPO else None,
        lora_rank=_whole(adapter.get("r")),
        lora_alpha=_number(adapter.get("alpha")),
        context=_whole(told.get("max_length")),
        seed=job.seed,
        suffix=job.suffix,
        others=tuple(
            (name, value)
            for name, value in job.hyperparameters.as_wire().items()
            if name in _ONLY_REINFORCEMENT
        ),
    )


def translate(recipe: Recipe, target: Target) -> Translation:
    """A recipe in the target's words."""
    new = base_model(target.model)
    # Either may be the name without its date.
    same = same_model(recipe.base, new) or same_model(new, recipe.base)
    rate = _rate(recipe, target, same=same)
    batch = _batch(recipe, kept=rate.how is How.KEPT)
    suffix = _suffix(recipe, target)
    lines = [
        _model(recipe, target, same=same),
        Line("method", recipe.method, recipe.method, How.KEPT, "the data is of that method"),
        _epochs(recipe),
        batch,
        rate,
        *_of_the_method(recipe),
        _adapter(recipe),
        _context(recipe),
        _seed(recipe),
        suffix,
    ]
    taken = {
        "n_epochs": recipe.epochs,
        "batch_size": recipe.batch_size if batch.how is How.KEPT else None,
        "learning_rate_multiplier": recipe.rate.value
        if recipe.rate and rate.how is How.KEPT
        else None,
        "beta": recipe.beta,
        **dict(recipe.others),
    }
    return Translation(
        hyperparameters=Hyperparameters(**taken),  # type: ignore[arg-type]
        seed=recipe.seed,
        suffix=suffix.new,
        lines=lines,
    )


def lines_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines for the ledger and for `--json`."""
    return [{**line._asdict(), "how": str(line.how)} for line in lines]


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe for the ledger."""
    rate = (
        {"value": recipe.rate.value, "meaning": recipe.rate.meaning.name} if recipe.rate else None
    )
    return {**asdict(recipe), "rate": rate, "method": str(recipe.method)}


_ONLY_REINFORCEMENT = frozenset(
    {"compute_multiplier", "eval_interval", "eval_samples", "reasoning_effort"}
)


def _told(job: Job) -> Mapping[str, Any]:
    """Numbers of the provider's last answer, in OpenAI's words, which every host here speaks."""
    raw = job.raw or {}
    method = raw.get("method")
    inner = method.get(str(job.method)) if isinstance(method, dict) else None
    own = inner.get("hyperparameters") if isinstance(inner, dict) else None
    return {
        **(raw["hyperparameters"] if isinstance(raw.get("hyperparameters"), dict) else {}),
        **(own if isinstance(own, dict) else {}),
    }


def _model(recipe: Recipe, target: Target, *, same: bool) -> Line:
    why = "the same base" if same else "another base: the comparison shows what that costs"
    how = How.KEPT if same else How.TRANSLATED
    return Line("base model", recipe.base, target.model, how, why)


def _epochs(recipe: Recipe) -> Line:
    if recipe.epochs is None:
        return Line("epochs", None, None, How.LEFT, "they were the old provider's choice, untold")
    told = str(recipe.epochs)
    return Line("epochs", told, told, How.KEPT, "passes over the data mean the same everywhere")


def _rate(recipe: Recipe, target: Target, *, same: bool) -> Line:
    name = "learning rate"
    if recipe.rate is None:
        return Line(name, None, None, How.LEFT, "it was the old provider's choice, untold")
    value, meaning = recipe.rate
    old = f"{value:g}" if meaning is RateMeaning.ABSOLUTE else f"x {value:g}"
    if meaning is not target.meaning:
        why = f"it was {meaning}; there it is {target.meaning}"
        return Line(name, old, None, How.LEFT, why)
    if not same:
        why = f"it was {meaning}, and the base is another one"
        return Line(name, old, None, How.LEFT, why)
    return Line(name, old, old, How.KEPT, f"{meaning}, and the base is the same")


def _batch(recipe: Recipe, *, kept: bool) -> Line:
    if recipe.batch_size is None:
        return Line("batch size", None, None, How.LEFT, "it was the old provider's choice, untold")
    old = str(recipe.batch_size)
    if not kept:
        why = "it goes with the learning rate, which is left to the target"
        return Line("batch size", old, None, How.LEFT, why)
    return Line("batch size", old, old, How.KEPT, "examples a step mean the same everywhere")


def _of_the_method(recipe: Recipe) -> list[Line]:
    known = [("beta", recipe.beta)] if recipe.beta is not None else []
    return [
        Line(name, f"{value}", f"{value}", How.KEPT, f"a knob of {recipe.method} itself")
        for name, value in (*known, *recipe.others)
    ]


def _adapter(recipe: Recipe) -> Line:
    if recipe.lora_rank is None:
        why = "the old provider does not say what it trains"
        return Line("LoRA rank, alpha", None, None, How.LEFT, why)
    old = f"{recipe.lora_rank}, {recipe.lora_alpha:g}" if recipe.lora_alpha else recipe.lora_rank
    why = "a job's request does not carry it; the worker takes what suits the base"
    return Line("LoRA rank, alpha", str(old), None, How.LEFT, why)


def _context(recipe: Recipe) -> Line:
    old = str(recipe.context) if recipe.context else None
    why = "longer rows are cut where the new base ends; validation counts them"
    return Line("context", old, None, How.LEFT, why)


def _seed(recipe: Recipe) -> Line:
    if recipe.seed is None:
        return Line("seed", None, None, How.LEFT, "none was given")
    told = str(recipe.seed)
    return Line("seed", told, told, How.KEPT, "it makes the new run repeatable, not equal")


def _suffix(recipe: Recipe, target: Target) -> Line:
    if not recipe.suffix:
        return Line("suffix", None, None, How.LEFT, "none was given")
    new = recipe.suffix[: target.suffix_limit] or None
    if new == recipe.suffix:
        return Line("suffix", recipe.suffix, new, How.KEPT, "part of the model's name")
    why = f"{target.profile} takes {target.suffix_limit} characters"
    return Line("suffix", recipe.suffix, new, How.TRANSLATED, why)


def _number(value: object) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 1 else None
