"""Four adapters over one base, one after another and together.

One after another with HF Trainer and peft as its users run it, with our loop through peft's layers,
and with our loop as it is.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from ftctl_worker.models import adapters
from ftctl_worker.models.lora import Shares, slim, slim_together
from ftctl_worker.training import llama
from ftctl_worker.training.forward import Forward
from ftctl_worker.training.objective import Answers
from ftctl_worker.training.together import Lesson
from worker_shared import (
    DEFAULTS,
    SEED,
    UNIT,
    Measured,
    clock,
    in_turn,
    make_rows,
    passes_for,
    trained,
)  # fmt: skip
from worker_training import hf_trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.training.rendering import Row
    from worker_shared import Source

_JOBS = 4
BATCHES = (2, 4, 8)


def together_table(source: Source, steps: int, repeats: int) -> list[str]:
    """Train the same jobs in each way, for several batch sizes."""
    lines = [
        f"{_JOBS} adapters over {source.name}, {steps} steps each, {UNIT}",
        f"{'batch':>6}{'HF + peft':>12}{'loop + peft':>12}{'our loop':>10}{'together':>10}"
        f"{'/ HF':>8}{'/ peft':>8}{'/ ours':>8}{'loss differs':>14}",
    ]
    for batch in BATCHES:
        jobs = _jobs(source, batch, steps)
        ways = {
            "trainer": lambda jobs=jobs: _trainer(source, jobs),  # type: ignore[misc]
            "peft": lambda jobs=jobs: _one_by_one(source, jobs, lean=False),
            "ours": lambda jobs=jobs: _one_by_one(source, jobs, lean=True),
            "together": lambda jobs=jobs: _together(source, jobs),
        }
        print(f"{_JOBS} adapters, batch {batch} ...", flush=True)
        best = in_turn(ways, repeats)
        joint, rates = best["together"], [one.rate for one in best.values()]
        apart = max(
            abs(a - b) / b for a, b in zip(joint.losses, best["trainer"].losses, strict=True)
        )
        lines.append(
            f"{batch:>6}{rates[0]:>12,.0f}{rates[1]:>12,.0f}{rates[2]:>10,.0f}{rates[3]:>10,.0f}"
            + "".join(f"{joint.rate / rate:>8.2f}" for rate in rates[:3])
            + f"{apart:>14.1e}"
        )
    return lines


def _jobs(source: Source, batch: int, steps: int) -> list[list[list[Row]]]:
    """Return for each job its batches of rows."""
    rows = make_rows(source.fresh(), _JOBS * batch * steps, longest=256)
    random.Random(SEED).shuffle(rows)
    batches = [rows[at : at + batch] for at in range(0, len(rows), batch)]
    return [batches[number::_JOBS] for number in range(_JOBS)]


def _one_by_one(source: Source, jobs: Sequence[Sequence[Sequence[Row]]], *, lean: bool) -> Measured:
    loaded = source.fresh()
    losses, tokens, seconds = [], 0, 0.0
    for number, batches in enumerate(jobs):
        torch.manual_seed(SEED + number)
        model = adapters.attach(source.fresh().model, DEFAULTS)
        stand_in = llama.lean(model, [adapters.ALONE]) if lean else None
        if lean:
            slim(model)
        model.train()
        optimizer = trained(model, stand_in)
        forward = Forward(model, half=loaded.is_half, lean=stand_in)
        passes = passes_for(loaded, stand_in)
        started = clock()
        for rows in batches:
            result = Answers(rows, forward, passes).learn(range(len(rows)))
            optimizer.step()
            tokens += result.tokens
            losses.append(result.loss)
        seconds += clock() - started
    return Measured("", tokens, seconds, losses)


def _trainer(source: Source, jobs: Sequence[Sequence[Sequence[Row]]]) -> Measured:
    found = [
        hf_trainer(
            source,
            [row for rows in batches for row in rows],
            len(batches),
            len(batches[0]),
            SEED + number,
        )
        for number, batches in enumerate(jobs)
    ]
    losses = [loss for one in found for loss in one.losses]
    return Measured("", sum(o.tokens for o in found), sum(o.seconds for o in found), losses)


def _together(source: Source, jobs: Sequence[Sequence[Sequence[Row]]]) -> Measured:
    loaded = source.fresh()
    model, shares = loaded.model, Shares()
    for number in range(len(jobs)):
        torch.manual_seed(SEED + number)
        model = adapters.attach(model, DEFAULTS, f"job-{number}")
    slim_together(model, shares)
    names = [f"job-{number}" for number in range(len(jobs))]
    stand_in = llama.lean(model, names, shares)
    model.train()
    optimizers = [trained(model, stand_in, name) for name in names]
    forward = Forward(model, half=loaded.is_half, lean=stand_in)
    lesson = Lesson(model, forward, passes_for(loaded, stand_in), shares)
    losses: list[list[float]] = [[] for _ in jobs]
    tokens, started = 0, clock()
    for number in range(len(jobs[0])):
        results = lesson.learn({f"job-{n}": job[number] for n, job in enumerate(jobs)})
        for own, optimizer, result in zip(losses, optimizers, results.values(), strict=True):
            optimizer.step()
            own.append(result.loss)
            tokens += result.tokens
    return Measured("", tokens, clock() - started, [loss for own in losses for loss in own])
