"""What a provider takes in a request, checked here before a byte is uploaded.

The numbers stand in the dated limits file, each with its source.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import WORKER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.domain.jobs.job import Hyperparameters, JobOptions, Method

# The field in the API's words, and what a person typed for it.
FLAGS: Mapping[str, str] = {
    "model": "--model",
    "method": "--method",
    "training_file": "TRAINING",
    "validation_file": "--validation",
    "n_epochs": "--epochs",
    "batch_size": "--batch-size",
    "learning_rate_multiplier": "--learning-rate-multiplier",
    "beta": "--beta",
    "compute_multiplier": "--compute-multiplier",
    "eval_interval": "--eval-interval",
    "eval_samples": "--eval-samples",
    "reasoning_effort": "--reasoning-effort",
    "grader": "--grader",
    "suffix": "--suffix",
    "seed": "--seed",
    "metadata": "--metadata",
    "integrations": "--wandb",
    "trainingType": "--training-type",
    "lora": "--lora",
    **dict.fromkeys((*WORKER_OPTIONS, "worker"), "--worker"),
}
OUR_PAIRS = 1


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The part of a request that limits speak of."""

    provider: str
    method: Method
    hyperparameters: Hyperparameters
    options: JobOptions
    suffix: str | None
    seed: int | None
    has_validation: bool


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one kind of provider takes, as the limits file says it."""

    numbers: Mapping[str, Any]

    @classmethod
    def of(cls, plain: Mapping[str, Any], kind: str) -> RequestLimits:
        """The limits of a kind; a plug-in's host is taken to want what OpenAI wants.

        Args:
            plain: the limits file.
            kind: the profile's kind.
        """
        known = plain["requests"]
        own = known.get(kind, known["compatible"])
        return cls(numbers={**known.get(own.get("like"), {}), **own})

    @property
    def grader_source_bytes(self) -> int:
        """The largest source of a python grader."""
        return int(self.numbers["grader_source_bytes"]["value"])

    def check(self, wanted: Wanted) -> None:
        """Every breach in one sentence each.

        Raises:
            UsageError: at least one.
        """
        found = list(self.breaches(wanted))
        if found:
            raise UsageError(
                "; ".join(breach for breach, _ in found) + ". Nothing was sent.",
                hint="; ".join(mend for _, mend in found),
            )

    def breaches(self, wanted: Wanted) -> Iterator[tuple[str, str]]:
        """What is wrong and how to mend it, one by one."""
        yield from self._of_method(wanted)
        chosen: dict[str, Any] = {**wanted.hyperparameters.as_wire(), "seed": wanted.seed}
        for name, value in chosen.items():
            if value is not None and name in self.numbers:
                yield from _of_number(name, value, self.numbers[name], wanted.provider)
        yield from self._of_suffix(wanted)
        yield from self._of_metadata(wanted)

    def _of_method(self, wanted: Wanted) -> Iterator[tuple[str, str]]:
        method = wanted.method
        for name in wanted.hyperparameters.foreign_to(method):
            yield f"{FLAGS[name]} means nothing for --method {method}", f"leave {FLAGS[name]} away"
        graded = wanted.options.grader is not None
        if graded != (method == "reinforcement"):
            yield (
                ("--grader is for --method reinforcement", "leave --grader away")
                if graded
                else ("reinforcement needs a grader", "--grader FILE.json")
            )
        if method in self.numbers["needs_validation"]["methods"] and not wanted.has_validation:
            yield f"{wanted.provider} wants a validation file for {method}", "--validation FILE"

    def _of_suffix(self, wanted: Wanted) -> Iterator[tuple[str, str]]:
        if wanted.suffix is None:
            return
        most = self.numbers["suffix"]["characters"]
        pattern = self.numbers["suffix"].get("pattern", "(?s:.)+")
        if not 1 <= len(wanted.suffix) <= most:
            yield (
                f"--suffix has {len(wanted.suffix)} characters, and {wanted.provider} takes"
                f" 1 to {most} characters",
                "a shorter --suffix" if wanted.suffix else "--suffix NAME",
            )
        elif not re.fullmatch(pattern, wanted.suffix):
            said = self.numbers["suffix"]["said"]
            yield f"{wanted.provider} takes only {said} in --suffix", "another --suffix"

    def _of_metadata(self, wanted: Wanted) -> Iterator[tuple[str, str]]:
        limits, pairs = self.numbers["metadata"], wanted.options.metadata
        free = limits["pairs"] - OUR_PAIRS
        if len(pairs) > free:
            yield (
                f"{len(pairs)} pairs of --metadata, and {free} are free: {wanted.provider} takes"
                f" {limits['pairs']}, and one carries ftctl's token",
                f"at most {free} times --metadata",
            )
        for key, value in pairs.items():
            if not 1 <= len(key) <= limits["key"] or len(value) > limits["value"]:
                yield (
                    f"--metadata {key[:20]}=... is too long: a key has 1 to {limits['key']}"
                    f" characters, a value at most {limits['value']}",
                    "a shorter --metadata",
                )


def _of_number(
    name: str, value: Any, bound: Mapping[str, Any], provider: str
) -> Iterator[tuple[str, str]]:
    low, above, high = bound.get("low"), bound.get("above"), bound.get("high")
    fits = (
        math.isfinite(value)
        and (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
    )
    if fits:
        return
    least = f"at least {low:g}" if low is not None else f"above {above:g}"
    most = f" and at most {high:,}" if high is not None else ""
    nearest = high if high is not None and value > high else low if low is not None else None
    yield (
        f"{FLAGS[name]} {value} is out of bounds: {provider} takes {least}{most}",
        f"{FLAGS[name]} {nearest if nearest is not None else 'NUMBER'}",
    )
