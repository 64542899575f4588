"""A job: one training request, from intent to result, and the moves it may make."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class JobStatus(StrEnum):
    """Where a job stands. The comment says what is true while it stands there."""

    PLANNED = "planned"  #: the intent is committed; nothing was sent
    UPLOADING = "uploading"  #: files are on their way, or wait to be processed
    READY = "ready"  #: every file is accepted; the job was not asked for yet
    SUBMITTING = "submitting"  #: the one POST is about to leave, or has left
    UNKNOWN = "unknown"  #: the POST may or may not have made a job
    NEEDS_REVIEW = "needs_review"  #: only a person can say what is true
    QUEUED = "queued"  #: the provider has the job (validating or waiting)
    RUNNING = "running"  #: the provider trains
    PAUSED = "paused"  #: the provider holds the job; it can go on
    SUCCEEDED = "succeeded"  #: there is a tuned model
    FAILED = "failed"  #: the provider gave up
    CANCELLED = "cancelled"  #: stopped on request
    REJECTED = "rejected"  #: the provider said no to the request

    @property
    def is_final(self) -> bool:
        """Nothing will change any more."""
        return self in _FINAL

    @property
    def is_remote(self) -> bool:
        """The provider has the job and works on it: sync asks about it."""
        return self in _REMOTE

    @property
    def is_unsent(self) -> bool:
        """The request surely never left: submit may take it up again."""
        return self in {JobStatus.PLANNED, JobStatus.UPLOADING, JobStatus.READY}

    @property
    def is_in_doubt(self) -> bool:
        """The request may have left, and no job is known: sync must find out."""
        return self in {JobStatus.SUBMITTING, JobStatus.UNKNOWN}

    def may_become(self, other: JobStatus) -> bool:
        """Whether the state machine has this arrow."""
        return other in ALLOWED_MOVES[self]


_FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.REJECTED})
_REMOTE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED})
_AT_PROVIDER = _REMOTE | {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}

ALLOWED_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PLANNED: frozenset({JobStatus.UPLOADING, JobStatus.CANCELLED, JobStatus.REJECTED}),
    JobStatus.UPLOADING: frozenset({JobStatus.READY, JobStatus.CANCELLED, JobStatus.REJECTED}),
    JobStatus.READY: frozenset({JobStatus.SUBMITTING, JobStatus.CANCELLED, JobStatus.UPLOADING}),
    JobStatus.SUBMITTING: _AT_PROVIDER
    | {JobStatus.READY, JobStatus.REJECTED, JobStatus.UNKNOWN, JobStatus.NEEDS_REVIEW},
    JobStatus.UNKNOWN: _AT_PROVIDER | {JobStatus.READY, JobStatus.NEEDS_REVIEW},
    JobStatus.NEEDS_REVIEW: _AT_PROVIDER | {JobStatus.READY},
    JobStatus.QUEUED: _AT_PROVIDER | {JobStatus.NEEDS_REVIEW},
    JobStatus.RUNNING: _AT_PROVIDER | {JobStatus.NEEDS_REVIEW},
    JobStatus.PAUSED: _AT_PROVIDER | {JobStatus.NEEDS_REVIEW},
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.REJECTED: frozenset(),
}


class Method(StrEnum):
    """How the weights are changed."""

    SUPERVISED = "supervised"
    DPO = "dpo"
    REINFORCEMENT = "reinforcement"


class Origin(StrEnum):
    """Who asked for a job."""

    FTCTL = "ftctl"
    ADOPTED = "adopted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameters:
    """The knobs of training; None leaves the choice to the provider ("auto").

    Attributes:
        n_epochs: passes over the training file.
        batch_size: examples per step.
        learning_rate_multiplier: factor on the provider's own default learning rate.
        beta: dpo: how strongly the tuned model is held to the base model.
        compute_multiplier: reinforcement: factor on the compute spent on exploring answers.
        eval_interval: reinforcement: training steps between evaluations.
        eval_samples: reinforcement: samples generated for an evaluation.
        reasoning_effort: reinforcement: default, low, medium or high.
    """

    n_epochs: int | None = None
    batch_size: int | None = None
    learning_rate_multiplier: float | None = None
    beta: float | None = None
    compute_multiplier: float | None = None
    eval_interval: int | None = None
    eval_samples: int | None = None
    reasoning_effort: str | None = None

    def as_wire(self) -> dict[str, int | float | str]:
        """Only what was chosen, in the API's own names."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in chosen.items() if value is not None}

    def foreign_to(self, method: Method) -> list[str]:
        """What was chosen and means nothing for that method."""
        return [name for name in self.as_wire() if method not in _MEANT_FOR.get(name, Method)]


_MEANT_FOR: Mapping[str, frozenset[Method]] = {
    "beta": frozenset({Method.DPO}),
    "compute_multiplier": frozenset({Method.REINFORCEMENT}),
    "eval_interval": frozenset({Method.REINFORCEMENT}),
    "eval_samples": frozenset({Method.REINFORCEMENT}),
    "reasoning_effort": frozenset({Method.REINFORCEMENT}),
}


@dataclass(frozen=True, kw_only=True)
class Wandb:
    """Where the provider reports the run at Weights & Biases; it needs its key there."""

    project: str
    name: str | None = None
    entity: str | None = None
    tags: tuple[str, ...] = ()

    def as_wire(self) -> dict[str, Any]:
        """One entry of the API's `integrations`."""
        chosen = {"project": self.project, "name": self.name, "entity": self.entity}
        told: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
        if self.tags:
            told["tags"] = list(self.tags)
        return {"type": "wandb", "wandb": told}


#: What only a worker of ours takes beside the shape of the adapter, in the words of its API.
WORKER_OPTIONS = (
    "engine", "tuning", "learning_rate", "early_stopping_patience", "gradient_checkpointing",
    "max_length", "max_completion_tokens", "gpus", "shard",
)  # fmt: skip


def knobs(chosen: Mapping[str, Any]) -> list[str]:
    """What was chosen, as `name=value`; the keys of a table within stand for themselves."""
    told: list[str] = []
    for name, value in chosen.items():
        told += knobs(value) if isinstance(value, dict) else [f"{name}={value}"]
    return told


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """What a request carries beside data, model and hyperparameters.

    Attributes:
        grader: reinforcement: who rewards an answer, in the API's own JSON.
        metadata: the user's own pairs; ours is added when the request is sent.
        wandb: where the run is reported.
        training_type: Azure: Standard, GlobalStandard or Developer; the profile's own when None.
        own: options that only a worker of ours takes (engine, tuning, lora: {r, ...}, ...).
    """

    grader: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    wandb: Wandb | None = None
    training_type: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Only what was chosen, for the ledger and for `--json`."""
        told = {
            "grader": dict(self.grader) if self.grader is not None else None,
            "metadata": dict(self.metadata) or None,
            "wandb": self.wandb.as_wire()["wandb"] if self.wandb else None,
            "training_type": self.training_type,
            "own": dict(self.own) or None,
        }
        return {name: value for name, value in told.items() if value is not None}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> JobOptions:
        """What `as_json` wrote."""
        wandb = plain.get("wandb")
        return cls(
            grader=plain.get("grader"),
            metadata=plain.get("metadata", {}),
            wandb=Wandb(**{**wandb, "tags": tuple(wandb.get("tags", ()))}) if wandb else None,
            training_type=plain.get("training_type"),
            own=plain.get("own", {}),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is wanted of a training beside its files: as typed, as recorded and as sent."""

    model: str
    method: Method = Method.SUPERVISED
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    options: JobOptions = field(default_factory=JobOptions)
    suffix: str | None = None
    seed: int | None = None

    def asked(self) -> dict[str, Any]:
        """The same by name, for what is made of it next."""
        return {each.name: getattr(self, each.name) for each in fields(Asked)}


@dataclass(frozen=True, kw_only=True)
class RemoteError:
    """Why the provider gave up, in its own words."""

    message: str
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job(Asked):
    """One training request as the ledger knows it.

    Attributes:
        id: ours; any unique prefix names it.
        token: 128 bits carried to the provider, by which a lost job is found again.
        account: fingerprint of the account the request is for; never the key itself.
        provider: the profile's name.
        training: digest of the training split in the dataset store; None for an adopted job whose
            file was not to be had.
        validation: digest of the validation split, if there is one.
        training_file: the provider's id of the uploaded training split.
        status: our word; `remote_status` is the provider's own.
        sent_at: when the last POST was about to leave.
        absent_at: when a complete listing, begun after the settle time, first lacked an unknown job.
        next_poll_at: when sync asks about it again; None for the next pass.
        version: counts changes; every change is a compare-and-swap on it.
        raw: the provider's last answer, as it came.
        origin: who asked for it: ftctl, or another tool of the same account.
    """

    id: str
    token: str
    provider: str
    kind: str
    account: str
    training: str | None
    created_at: datetime
    updated_at: datetime
    validation: str | None = None
    training_file: str | None = None
    validation_file: str | None = None
    status: JobStatus = JobStatus.PLANNED
    remote_id: str | None = None
    remote_status: str | None = None
    tuned_model: str | None = None
    trained_tokens: int | None = None
    error: RemoteError | None = None
    sent_at: datetime | None = None
    absent_at: datetime | None = None
    finished_at: datetime | None = None
    estimated_finish: datetime | None = None
    estimate_usd: float | None = None
    next_poll_at: datetime | None = None
    version: int = 1
    raw: Mapping[str, Any] | None = None
    origin: Origin = Origin.FTCTL

    @property
    def data(self) -> str:
        """Digest of the training split.

        Raises:
            UsageError: its bytes are not here.
        """
        if self.training is None:
            raise UsageError(
                f"The training data of job {self.id} is not in the store: the file was gone, or was"
                " not fetched.",
                hint=f"ftctl adopt --provider {self.provider} --retry-files",
            )
        return self.training


class Transition(NamedTuple):
    """One change of state; append-only."""

    at: datetime
    before: JobStatus | None
    after: JobStatus
    reason: str


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """A line of a job's history, as the provider tells it or as ftctl noticed it."""

    key: str  #: the same for the same event however often it is read
    at: datetime
    level: str  #: info | warning | error
    message: str
    source: str = "provider"  #: provider | ftctl
    data: Mapping[str, Any] | None = None


class MetricPoint(NamedTuple):
    """One number of training at one step."""

    step: int
    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A state of the weights that can answer, saved during training."""

    remote_id: str
    model: str
    step: int
    created_at: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
