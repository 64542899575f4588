"""Several jobs over one base model, trained in the same forward passes.

Each job has its own adapter, optimizer, schedule, metrics and end, and learns what it learns alone:
the passes hold the rows of all, and no row sees another one. A job that fails, ends or is taken
away leaves; the others go on.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.errors import JobSupersededError, TrainingDataError
from ftctl_worker.models import adapters
from ftctl_worker.models.lora import NotPlainError, Shares, slim_together
from ftctl_worker.training.batches import cut, pad
from ftctl_worker.training.forward import Forward
from ftctl_worker.training.llama import lean
from ftctl_worker.training.objective import Answers, StepResult
from ftctl_worker.training.preparation import Task, load, passes_of, plan_passes, read
from ftctl_worker.training.run import Run, TrainingDivergedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ftctl_worker.home import Home
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.objective import Passes
    from ftctl_worker.training.preparation import Material
    from ftctl_worker.training.rendering import Row
    from ftctl_worker.training.stopping import StopRequest

__all__ = ["Lesson", "Member", "TogetherError", "train_together"]

_LOG = logging.getLogger("ftctl_worker.train")
_OWN_FAILURES = (TrainingDataError, TrainingDivergedError)


class TogetherError(Exception):
    """These jobs have to be trained one by one; nothing of theirs is lost."""


@dataclass(eq=False)
class Member:
    """One job of a group; ``fail`` writes down why it failed, ``leave`` lets others train it."""

    job: Job
    ledger: Ledger
    fail: Callable[[Exception], None]
    leave: Callable[[], None]
    is_taken: threading.Event = field(default_factory=threading.Event)


def train_together(
    members: Sequence[Member], base: BaseModel, home: Home, *, precision: Any, stop: StopRequest
) -> None:
    """Train the adapters of several jobs, each as :func:`ftctl_worker.train.train` would alone.

    Raises:
        TogetherError: these jobs cannot be trained together here.
        ModelError: the base model cannot be used.
        TooLargeError: the machine has not enough memory.
    """
    loaded = load(base, home, precision)
    materials = _read_all(members, loaded, home)
    if not materials:
        return
    lesson, tasks = _prepare(materials, loaded)
    runs: dict[Member, Run] = {}
    for member, task in tasks.items():
        with _alone_in_failing(member):
            runs[member] = Run(task, member.ledger, home)
    stop.listen()
    lesson.model.train()
    while runs:
        _let_go(runs)
        wanted = {run.task.adapter: _rows(run) for run in runs.values() if not run.is_over}
        results = lesson.learn(wanted) if wanted else {}
        for member in list(runs):
            run = runs.pop(member)
            with _alone_in_failing(member):
                _step(run, results)
                if not run.is_over:
                    runs[member] = run
        if stop.is_set:
            for run in runs.values():
                run.store()
            return


def _step(run: Run, results: Mapping[str, StepResult]) -> None:
    if run.task.adapter in results:
        run.take(results[run.task.adapter])
    if run.is_over:
        run.succeed()


def _rows(run: Run) -> list[Row]:
    return [run.task.objective.rows[number] for number in run.next_rows()]


def _let_go(runs: dict[Member, Run]) -> None:
    """Drop the jobs that were cancelled, paused or given to another attempt."""
    for member in [member for member in runs if member.is_taken.is_set()]:
        runs.pop(member).store()
        member.leave()


@contextmanager
def _alone_in_failing(member: Member) -> Iterator[None]:
    """Let one job leave the group over what is its own failure, and the others go on."""
    try:
        yield
    except JobSupersededError:
        _LOG.info("%s is not ours any more", member.job.id)
        member.leave()
    except _OWN_FAILURES as error:
        _LOG.exception("%s failed; the others go on", member.job.id)
        member.fail(error)
        member.leave()


def _read_all(members: Sequence[Member], loaded: LoadedBase, home: Home) -> dict[Member, Material]:
    found: dict[Member, Material] = {}
    for member in members:
        with _alone_in_failing(member):
            found[member] = read(member.job, loaded, member.ledger, home)
    return found


def _prepare(
    materials: Mapping[Member, Material], loaded: LoadedBase
) -> tuple[Lesson, dict[Member, Task]]:
    plan = plan_passes(list(materials.values()), loaded)
    if plan.checkpointing:
        raise TogetherError("there is not enough memory for all of them")
    model, names = loaded.model, {}
    for number, (member, material) in enumerate(materials.items(), start=1):
        names[member] = f"of-job-{number}"
        torch.manual_seed(material.job.seed)
        model = adapters.attach(model, material.defaults, names[member])
    shares = Shares()
    try:
        slim_together(model, shares)
    except NotPlainError as error:
        raise TogetherError(f"{error} is no plain LoRA layer") from error
    stand_in = lean(model, list(names.values()), shares)
    forward = Forward(model, half=loaded.is_half, lean=stand_in)
    longest = max(one.longest for one in materials.values())
    passes = passes_of(plan, loaded, longest, packs=stand_in is not None)
    tasks = {}
    for member, material in materials.items():
        name, held_out = names[member], material.held_out
        tasks[member] = Task(
            job=member.job,
            model=model,
            adapter=name,
            chosen=material.chosen,
            objective=_Own(material.data, forward, passes, shares, name),  # type: ignore[arg-type]
            held_out=None if held_out is None else _Own(held_out, forward, passes, shares, name),  # type: ignore[arg-type]
            patience=material.patience,
            flat=None if stand_in is None else stand_in.flats[name],
        )
    return Lesson(model, forward, passes, shares), tasks


class _Own(Answers):
    """The answers of one job, evaluated with its own adapter."""

    def __init__(
        self, rows: Sequence[Row], forward: Forward, passes: Passes, shares: Shares, name: str
    ) -> None:
        super().__init__(rows, forward, passes)
        self._shares = shares
        self._name = name

    def evaluate(self) -> dict[str, float]:
        self._shares.give_all(self._name)
        return super().evaluate()


class Lesson:
    """Learns the answers of several jobs in the same passes."""

    def __init__(self, model: Any, forward: Forward, passes: Passes, shares: Shares) -> None:
        self.model = model
        self._forward = forward
        self._passes = passes
        self._shares = shares

    def learn(self, wanted: Mapping[str, Sequence[Row]]) -> dict[str, StepResult]:
        """Add the gradients of each job's mean loss per label token over its rows."""
        names = list(wanted)
        rows = [row for some in wanted.values() for row in some]
        owners = [number for number, some in enumerate(wanted.values()) for _ in some]
        labels = torch.tensor(
            [sum(sum(row.learned[1:]) for row in some) for some in wanted.values()]
        )
        loss, correct = torch.zeros(len(names)), torch.zeros(len(names))
        passes = self._passes
        for numbers, length in cut(
            rows, longest=passes.longest, tokens=passes.tokens, overhead=passes.overhead
        ):
            ordered = sorted(numbers, key=lambda number: owners[number])
            theirs = [owners[number] for number in ordered]
            self._shares.split(names, theirs)
            batch = pad([rows[number] for number in ordered], length, passes.pad_id)
            sums = self._forward.by_owner(batch, theirs, len(names))
            (sums.loss / labels.to(sums.loss.device)).sum().backward()
            loss += sums.loss.detach().cpu()
            correct += sums.correct.cpu()
        return {
            name: StepResult(
                float(loss[number] / labels[number]),
                float(correct[number] / labels[number]),
                sum(len(row.ids) for row in wanted[name]),
            )
            for number, name in enumerate(names)
        }
