"""What a spec file asks for: one job, or several tasks over one base model. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.job import Hyperparameters, Method
from orchestrator.domain.jobs.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.jobs.dataset import Split

#: The name under which the one adapter over all tasks goes; no task may have it.
MIXED = "mixed"


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where a task's rows are: a file for each split, or one file and how it is cut.

    Attributes:
        whole: the one file; None where splits are files of their own.
        sizes: of the cut, as `ftctl split` takes them.
        seed: of the cut.
        group_by: rows with the same value of this key stay together.
    """

    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    whole: Path | None = None
    sizes: Mapping[Split, float] = field(default_factory=dict)
    seed: int = 0
    group_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompareSpec(Measurement):
    """How a tuned model is measured; paths in arms and grader are absolute already.

    Attributes:
        gate: whether the verdict decides the exit code.
    """

    gate: bool = True


@dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """Points of hyperparameters that are tried; the best one on validation is the task's.

    Attributes:
        points: what differs from the task's own hyperparameters, in the order of the file.
        choose_by: validation_loss or validation_score.
    """

    points: Sequence[Mapping[str, Any]]
    choose_by: str = "validation_loss"


def own_options(before: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """What only a worker of ours takes, with what a table's `worker` and `lora` say of it."""
    own = {**before, **table.get("worker", {})}
    lora = {**before.get("lora", {}), **table.get("lora", {})}
    return {**own, "lora": lora} if lora else own


def own_tables(own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables `lora` and `worker` that `own_options` was made from."""
    others = {name: value for name, value in own.items() if name != "lora"}
    return {"lora": dict(own.get("lora", {})), "worker": others}


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One task: its data, its training, and how the result is measured.

    Attributes:
        compare: None when nothing is measured.
        sweep: None when there is one point.
    """

    name: str
    data: DataSpec
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    own: Mapping[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    compare: CompareSpec | None = None
    sweep: SweepSpec | None = None
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class MixedSpec:
    """One more adapter, trained on the rows of all tasks.

    Attributes:
        balance: rows of smaller tasks are repeated until every task weighs the same.
    """

    balance: bool = False
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    own: Mapping[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A whole file.

    Attributes:
        path: the file; paths in it were relative to its folder.
        name: of the pipeline, by which an earlier application of it is found.
        tasks: in the order of the file; one for a single job.
        single: the file describes one job and has no `tasks`.
        max_cost: dollars for training and comparisons together; None for no limit.
        out: folder of reports and of the summary.
        reward: file with the grader of reinforcement; `wandb` and `metadata` as in the file.
    """

    path: Path
    name: str
    provider: str
    model: str
    tasks: Sequence[TaskSpec]
    out: Path
    method: Method = Method.SUPERVISED
    single: bool = True
    mixed: MixedSpec | None = None
    max_cost: float | None = None
    notes: str = ""
    reward: Path | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    wandb: Mapping[str, Any] = field(default_factory=dict)
    training_type: str | None = None
