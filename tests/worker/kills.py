"""Kills servers and trainers at random moments, and looks at what became of every job.

    python -m tests.worker.kills --kills 50 --seed 1 [--joint auto]

Each job must end, with the adapter of an undisturbed run: the same bytes where jobs are trained
alone, the same numbers within float noise where they are trained together.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.worker import servers
from tests.worker.mini_model import DEFAULTS, build_mini_model
from tests.worker.servers import FINAL, Worker, colour_rows, wait_for
from tests.worker.test_lifetime import trainers

_WAYS: tuple[dict[str, Any], ...] = (
    {"n_epochs": 30, "batch_size": 4},
    {"n_epochs": 20, "batch_size": 3},
    {"n_epochs": 25, "batch_size": 6},
)


@dataclass
class Trials:
    """What was killed, and what became of the jobs: number of the way by job id."""

    killed: dict[str, int] = field(default_factory=lambda: {"server": 0, "trainer": 0})
    jobs: dict[str, int] = field(default_factory=dict)
    same_bytes: int = 0
    farthest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Return the figures in one line."""
        return (
            f"{sum(self.killed.values())} kills ({self.killed['server']} of the server, "
            f"{self.killed['trainer']} of a trainer), {len(self.jobs)} jobs, "
            f"{len(self.wrong)} wrong, {self.same_bytes} adapters the same byte for byte, "
            f"largest difference of a weight {self.farthest:.1e}"
        )


def kill_at_random(
    folder: Path, models_dir: Path, *, kills: int, seed: int, joint: str = "never"
) -> Trials:
    """Kill ``kills`` times while jobs are trained, then let them end, and compare."""
    options = ("--models-dir", str(models_dir), "--joint", joint)
    expected = _undisturbed(folder / "undisturbed", options)
    chance, trials = random.Random(seed), Trials()
    home = folder / "killed"
    home.mkdir()
    while sum(trials.killed.values()) < kills:
        with contextlib.suppress(_ServerKilledError), servers.running(home, *options) as worker:
            while sum(trials.killed.values()) < kills:
                _keep_busy(worker, trials)
                _wait(chance.uniform(0.2, 9))
                _kill(worker, chance, trials)
    with servers.running(home, *options) as worker:
        for job_id, way in trials.jobs.items():
            wait_for(partial(_is_final, worker, job_id), seconds=300)
            _compare(worker, job_id, expected[way], trials, exactly=joint == "never")
    return trials


class _ServerKilledError(Exception):
    """The server was killed; a new one takes its place."""


def _undisturbed(folder: Path, options: tuple[str, ...]) -> list[bytes]:
    folder.mkdir()
    with servers.running(folder, *options) as worker:
        jobs = [_submit(worker, way) for way in range(len(_WAYS))]
        for job_id in jobs:
            assert worker.wait_job(job_id).status == "succeeded"
        return [_adapter(worker, job_id).read_bytes() for job_id in jobs]


def _submit(worker: Worker, way: int) -> str:
    jobs: Any = worker.client.fine_tuning.jobs
    job_id: str = jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        seed=way,
        hyperparameters=_WAYS[way],
        metadata={"ftctl_group": "kills"},
    ).id
    return job_id


def _keep_busy(worker: Worker, trials: Trials) -> None:
    """Submit the jobs once more where all have ended."""
    if all(_is_final(worker, job_id) for job_id in trials.jobs):
        for way in range(len(_WAYS)):
            trials.jobs[_submit(worker, way)] = way


def _kill(worker: Worker, chance: random.Random, trials: Trials) -> None:
    training = trainers(worker)
    if training and chance.random() < 0.5:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(training), signal.SIGKILL)
            trials.killed["trainer"] += 1
        return
    worker.kill()
    trials.killed["server"] += 1
    wait_for(lambda: not trainers(worker), seconds=120)
    raise _ServerKilledError


def _wait(seconds: float) -> None:
    # A random moment is what is tried here.
    with contextlib.suppress(TimeoutError):
        signal.sigtimedwait([], seconds)


def _is_final(worker: Worker, job_id: str) -> bool:
    return worker.client.fine_tuning.jobs.retrieve(job_id).status in FINAL


def _adapter(worker: Worker, job_id: str) -> Path:
    folders = (worker.home / "models" / job_id).glob("step-*")
    last = max(folders, key=lambda one: int(one.name.removeprefix("step-")))
    return last / "adapter_model.safetensors"


def _compare(
    worker: Worker, job_id: str, expected: bytes, trials: Trials, *, exactly: bool
) -> None:
    job = worker.client.fine_tuning.jobs.retrieve(job_id)
    if job.status != "succeeded":
        trials.wrong.append(f"{job_id} {job.status}: {job.error and job.error.message}")
        return
    found = _adapter(worker, job_id)
    if found.read_bytes() == expected:
        trials.same_bytes += 1
        return
    reference = found.with_name("expected.safetensors")
    reference.write_bytes(expected)
    ours, theirs = load_file(found), load_file(reference)
    apart = max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)
    trials.farthest = max(trials.farthest, apart)
    alike = all(torch.allclose(ours[n], theirs[n], rtol=1e-2, atol=1e-3) for n in theirs)
    if exactly or not alike:
        trials.wrong.append(f"{job_id}: weights differ by {apart:.1e}")


def main() -> int:
    """Kill, print the figures, and return 1 where a job was lost or ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--joint", default="never")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        build_mini_model(models / "mini", defaults=DEFAULTS)
        trials = kill_at_random(
            Path(folder), models, kills=options.kills, seed=options.seed, joint=options.joint
        )
    sys.stdout.write(trials.report() + "\n" + "".join(f"{one}\n" for one in trials.wrong))
    return 1 if trials.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
