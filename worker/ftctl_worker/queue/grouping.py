"""Which queued jobs are trained in the same passes: those that win by it and lose nothing.

A base matmul over the rows of several small batches costs less than one for each. That pays while
the batches are too thin for the machine: for a small model and small batches. Jobs whose results
would depend on the rows beside theirs (dropout), or that need more than plain LoRA, go alone.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftctl_worker.errors import ModelError
from ftctl_worker.hyperparameters import choose, read_defaults, with_options
from ftctl_worker.job import JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.home import Home
    from ftctl_worker.job import Job
    from ftctl_worker.models.bases import BaseModel, Catalog
    from ftctl_worker.queue.jobs import JobStore
    from ftctl_worker.settings import Joint

__all__ = ["GROUP_KEY", "Grouping"]

GROUP_KEY = "ftctl_group"
_MIB = 1024 * 1024
_LARGEST_WEIGHTS = 1024 * _MIB
_LARGEST_BATCH = 8
_MOST_ROWS = 32
_MOST_JOBS = 8
_LOOK_AT = 64
_WAIT_FOR_GROUP_SECONDS = 2.0
_PLAIN_OPTIONS = frozenset({"lora", "learning_rate", "early_stopping_patience", "max_length"})


@dataclass(frozen=True)
class Grouping:
    """The rule, over the queue of one server."""

    jobs: JobStore
    home: Home
    catalog: Catalog
    joint: Joint

    def waits(self, job: Job) -> bool:
        """Tell whether more jobs of its kind are about to be queued, so that it should wait."""
        if self.joint == "never" or not _is_plain(job):
            return False
        coming = self.jobs.all_in(JobStatus.VALIDATING_FILES, _LOOK_AT)
        if any(one.model == job.model for one in coming):
            return True
        group = (job.metadata or {}).get(GROUP_KEY)
        return group is not None and time.time() - job.updated_at < _WAIT_FOR_GROUP_SECONDS

    def beside(self, first: Job, base: BaseModel, *, places: int, apart: set[str]) -> list[Job]:
        """Return the queued jobs to be trained together with ``first``, perhaps none.

        Args:
            first: the job whose turn it is.
            base: its model.
            places: trainers that may run, this one included; the queue is spread over them.
            apart: ids of jobs that have to be trained alone.
        """
        if self.joint == "never" or first.id in apart or not self._is_fit(first, base):
            return []
        queue = self.jobs.all_in(JobStatus.QUEUED, _LOOK_AT)
        fit = [
            job
            for job in queue
            if job.model == first.model and job.id not in apart and self._is_fit(job, base)
        ]
        others = sorted(fit, key=lambda job: not _same_group(job, first))
        most = -(-len(fit) // places)
        return self._bounded(first, [job for job in others if job.id != first.id], base)[: most - 1]

    def _bounded(self, first: Job, others: Sequence[Job], base: BaseModel) -> list[Job]:
        if isinstance(self.joint, int):
            return list(others[: self.joint - 1])
        chosen: list[Job] = []
        rows = self._batch_size(first, base)
        for job in others[: _MOST_JOBS - 1]:
            rows += self._batch_size(job, base)
            if rows > _MOST_ROWS:
                break
            chosen.append(job)
        return chosen

    def _is_fit(self, job: Job, base: BaseModel) -> bool:
        if not _is_plain(job) or _has_dropout(base):
            return False
        if isinstance(self.joint, int):
            return True
        return (
            _weight_bytes(base) <= _LARGEST_WEIGHTS
            and self._batch_size(job, base) <= _LARGEST_BATCH
        )

    def _batch_size(self, job: Job, base: BaseModel) -> int:
        folder = Path(base.location) if base.kind == "folder" else None
        try:
            defaults = with_options(read_defaults(folder), job.options)
            with self.home.file(job.training_file).open("rb") as lines:
                examples = sum(1 for line in lines if line.strip())
        except (OSError, ModelError):
            return _MOST_ROWS + 1
        return choose(job.requested, defaults, max(1, examples)).batch_size


def _is_plain(job: Job) -> bool:
    lora = job.options.get("lora", {})
    return (
        job.method == "supervised"
        and set(job.options) <= _PLAIN_OPTIONS
        and not lora.get("dropout")
        and not lora.get("use_dora")
    )


def _same_group(job: Job, other: Job) -> bool:
    group = (other.metadata or {}).get(GROUP_KEY)
    return group is not None and (job.metadata or {}).get(GROUP_KEY) == group


def _weight_bytes(base: BaseModel) -> int:
    """Return the size of the weights; beyond all bounds for those that lie elsewhere."""
    place = Path(base.location)
    files = {"folder": place.glob("*.safetensors"), "gguf": iter([place])}.get(base.kind)
    sizes = [file.stat().st_size for file in files or () if file.is_file()]
    return sum(sizes) if sizes else _LARGEST_WEIGHTS + 1


def _has_dropout(base: BaseModel) -> bool:
    """Tell whether a model throws dice in training; what a Hub's model does is not known here."""
    if base.kind != "folder":
        return base.kind == "hub"
    try:
        config = json.loads((Path(base.location) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return any(
        value
        for name, value in config.items()
        if name.endswith(("dropout", "pdrop")) and isinstance(value, int | float)
    )
