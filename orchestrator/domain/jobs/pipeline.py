"""What was done for a spec: steps, what makes two of them the same, and where they are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.jobs.job import Hyperparameters, Job, JobOptions, Method

_SHOWN = 12
_NAMES = {"training": "training rows", "validation": "validation rows", "test": "test rows"}


class StepState(StrEnum):
    """What applying a spec would do about a step."""

    NEW = "new"  #: nothing like it was done
    CHANGED = "changed"  #: something else was done under that name; this is done beside it
    EXISTS = "exists"  #: done; nothing is to do
    UNDER_WAY = "under way"  #: begun; applying goes on with it
    FAILED = "failed"  #: done, and it failed; tried again only with --retry-failed
    WAITS = "waits"  #: cannot be said before what it rests on is done

    @property
    def is_to_do(self) -> bool:
        """Whether applying starts it."""
        return self in {StepState.NEW, StepState.CHANGED}


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """Everything that makes two trainings the same: a digest of it is a training's identity.

    Attributes:
        training: digest of the training rows as they are uploaded; `validation` likewise.
    """

    provider: str
    model: str
    method: str
    hyperparameters: Mapping[str, Any]
    suffix: str | None
    seed: int | None
    training: str
    validation: str | None
    reward: Mapping[str, Any] | None = None
    training_type: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """SHA-256 in hex."""
        return digest(asdict(self))

    def as_json(self) -> dict[str, Any]:
        """For the store."""
        return asdict(self)


def training_facts(
    *,
    provider: str,
    model: str,
    method: Method,
    hyperparameters: Hyperparameters,
    options: JobOptions,
    suffix: str | None,
    seed: int | None,
    training: str,
    validation: str | None,
) -> TrainingFacts:
    """The facts of a training that is asked for."""
    return TrainingFacts(
        provider=provider,
        model=model,
        method=str(method),
        hyperparameters=hyperparameters.as_wire(),
        suffix=suffix,
        seed=seed,
        training=training,
        validation=validation,
        reward=options.grader,
        training_type=options.training_type,
        own=options.own,
    )


def facts_of(job: Job) -> TrainingFacts:
    """The facts of a job in the ledger, whoever asked for it."""
    return training_facts(
        provider=job.provider,
        model=job.model,
        method=job.method,
        hyperparameters=job.hyperparameters,
        options=job.options,
        suffix=job.suffix,
        seed=job.seed,
        training=job.training or "",
        validation=job.validation,
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between the facts of two steps, in words."""
    old, new = _flat(before), _flat(after)
    return [
        f"{_NAMES.get(name, name.replace('_', ' '))}: {_word(old.get(name))} → {_word(new.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a pipeline that was begun.

    Attributes:
        name: train:TASK, train:TASK#2, choose:TASK, compare:TASK, ...
        identity: digest of `facts`; the same name with another identity is another step.
        result: what it came to, where neither a job nor a comparison says it.
    """

    name: str
    identity: str
    facts: Mapping[str, Any]
    updated_at: datetime
    job_id: str | None = None
    comparison_id: str | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """The steps of one pipeline, oldest first."""

    steps: Sequence[Step] = field(default_factory=tuple)

    def find(self, name: str, identity: str) -> Step | None:
        """That very step."""
        same = [s for s in self.steps if (s.name, s.identity) == (name, identity)]
        return same[-1] if same else None

    def latest(self, name: str) -> Step | None:
        """The newest step of that name, whatever it was."""
        same = [step for step in self.steps if step.name == name]
        return same[-1] if same else None


class Pipelines(Protocol):
    """Where pipelines are kept. Every method is one transaction."""

    def open(self, name: str, source: str, spec: str, at: datetime) -> None:
        """Remember that a spec file of that digest is applied under that name."""
        ...

    def bind(self, name: str, step: Step) -> None:
        """Keep a step; the same one again replaces what it came to."""
        ...

    def history(self, name: str) -> History:
        """Every step of a pipeline; empty when there is none."""
        ...


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat


def _word(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    is_digest = len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
    return text[:_SHOWN] if is_digest else text
