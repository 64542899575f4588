"""`ftctl compare`: measure a tuned model against baselines on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli import progress
from orchestrator.cli.compare_options import comparison_options
from orchestrator.cli.output import console, json_option, print_json, say
from orchestrator.domain.arm import Plan
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.grading.grader import ModelGrader
from orchestrator.grading.registry import grader_for, make_grader
from orchestrator.usecases import arms as arm_names
from orchestrator.usecases import compare as comparing
from orchestrator.usecases.allowance import allowance
from orchestrator.usecases.answering import Desk
from orchestrator.usecases.deployment_plan import must_answer
from orchestrator.usecases.judging import Bench, read_human_labels
from orchestrator.usecases.measuring import measure
from orchestrator.usecases.samples import read_samples, select
from orchestrator.usecases.till import Till

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.domain.arm import Arm
    from orchestrator.domain.comparison import Comparison
    from orchestrator.domain.job import Job
    from orchestrator.domain.sample import Sample
    from orchestrator.grading.grader import Grader
    from orchestrator.usecases.samples import SampleSet

EXAMPLE = """\b
Example:
  ftctl compare JOB --test test.jsonl
  ftctl compare JOB --test test.jsonl --arm base --arm few-shot:auto --arm rag:docs/ --arm tuned
  ftctl compare JOB --test test.jsonl --arm successor@openai --arm tuned --max-cost 2
  ftctl compare JOB --test test.jsonl --source recorded:old --margin 3
"""


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What was typed."""

    test: Path
    arms: tuple[str, ...]
    task: str | None
    grader: str | None
    margin: float | None
    source: str | None
    max_cost: float | None
    allow_unpriced: bool
    limit: int | None
    slice_by: str | None
    group_by: str | None
    repeats: int
    temperature: float
    human: Path | None
    seed: int
    max_tokens: int | None
    max_missing: float
    concurrency: int
    allow_leakage: bool


@click.command(epilog=EXAMPLE)
@click.argument("job_id", metavar="JOB")
@comparison_options
@json_option
@click.pass_context
def compare(ctx: click.Context, /, *, job_id: str, as_json: bool, **typed: object) -> int:
    """Measure the tuned model of JOB against baselines on the same samples.

    Every answer is kept: the same command again goes on where a stopped one was, and pays for no
    answer twice. Exit code 0: improved (with --margin: not worse); 1: degraded; 10: undecided.
    """
    options = _Options(**typed)  # type: ignore[arg-type]
    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    training = read_samples(app.datasets.path(job.training))
    chosen = select(
        read_samples(options.test, slice_by=options.slice_by, group_by=options.group_by),
        training,
        allow_leakage=options.allow_leakage,
        limit=options.limit,
        seed=options.seed,
    )
    with allowance(
        app.vault(),
        subject=f"compare {options.test.name}",
        job_id=job.id,
        allow_unpriced=options.allow_unpriced,
    ) as allowed:
        till = Till(
            book=app.prices,
            kind=job.kind,
            profile=job.provider,
            limit=options.max_cost,
            allowance=allowed,
        )
        found = _compared(app, options, job, training, chosen, till)
    _print(found, job, as_json=as_json)
    return exit_code(found)


def _compared(
    app: wiring.App,
    options: _Options,
    job: Job,
    training: Sequence[Sample],
    chosen: SampleSet,
    till: Till,
) -> Comparison:
    plan = _plan(options, chosen)
    grader = make_grader(plan.grader)
    desk = Desk(
        run=None,
        chat=app.provider(job.provider),
        account=job.account,
        store=app.comparisons,
        clock=app.clock,
        till=till,
    )
    context = arm_names.ArmContext(
        job=job,
        training=training,
        samples=chosen.samples,
        seed=options.seed,
        host=app.host,
        retriever=app.retriever,
        recordings=app.recordings,
        cheapest=partial(_cheapest, app),
        measure=measure(desk, plan, grader, progress.answers()),
        pin=app.pin,
    )
    names = options.arms or arm_names.DEFAULT_ARMS
    made = arm_names.make_arms(names, context, source=options.source)
    _refuse_undeployed(app, job, made)
    _announce(chosen, [arm.name for arm in made], plan)
    return comparing.compare(
        job,
        chosen,
        made,
        chat=desk.chat,
        store=app.comparisons,
        clock=app.clock,
        plan=plan,
        progress=progress.answers(),
        till=till,
        grader=grader,
        bench=_bench(app, grader, options),
    )


def _refuse_undeployed(app: wiring.App, job: Job, made: Sequence[Arm]) -> None:
    if not wiring.capabilities(app.settings.profile(job.provider)).needs_deployment:
        return
    asked = [arm.model for arm in made if arm.chat is None]
    known = app.deployments.all(job_id=job.id)
    must_answer(job, asked, app.served(job.provider), known)


def exit_code(found: Comparison) -> ExitCode:
    """0 when the gate opens, 1 when it stays shut, 10 when the rows do not decide."""
    passes = found.verdict.passes
    if passes is None:
        return ExitCode.INCONCLUSIVE
    return ExitCode.DONE if passes else ExitCode.NO


def _plan(options: _Options, chosen: SampleSet) -> Plan:
    if options.grader and options.task:
        raise UsageError("--grader and --task both choose a grader; give one of them.")
    if options.source and options.margin is None:
        raise UsageError("--source needs a margin.", hint=f"--source {options.source} --margin 3")
    grader = options.grader or (grader_for(options.task) if options.task else "exact")
    references = [sample.reference for sample in chosen.samples]
    return Plan(
        grader=grader,
        margin=_proportion(options.margin),
        source=options.source,
        max_missing=options.max_missing / 100,
        max_tokens=options.max_tokens or comparing.token_limit(references),
        temperature=options.temperature,
        repeats=options.repeats,
        concurrency=options.concurrency,
        seed=options.seed,
    )


def _proportion(points: float | None) -> float | None:
    if points is not None and not 0 < points < 100:
        raise click.BadParameter("a margin lies between 0 and 100 points", param_hint="--margin")
    return None if points is None else points / 100


def _bench(app: wiring.App, grader: Grader, options: _Options) -> Bench | None:
    if not isinstance(grader, ModelGrader):
        if options.human:
            raise UsageError("--human measures a judge, and this grader asks no model.")
        return None
    return Bench(
        grader,
        host=app.host(grader.profile) if grader.profile else None,
        human=read_human_labels(options.human) if options.human else (),
    )


def _cheapest(app: wiring.App, kind: str) -> str | None:
    return app.prices.cheapest_base(kind, app.listed_lifecycle, app.clock.now().date())


def _announce(chosen: SampleSet, arms: list[str], plan: Plan) -> None:
    rows = len(chosen.samples)
    times = f" x {plan.repeats} repeats" if plan.repeats > 1 else ""
    say(f"{rows} samples x {len(arms)} arms{times}: {', '.join(arms)}")
    if chosen.leaked:
        done = "kept, as asked" if chosen.leakage_allowed else "left out"
        say(f"{chosen.leaked} test rows occur in training: {done}")
    if chosen.repeated:
        say(f"{chosen.repeated} test rows repeat an earlier one: left out")
    found = comparing.expected_detectable(rows)
    shown = "no difference" if found is None else f"differences from {100 * found:.1f} points"
    say(f"{rows} rows find {shown} (80 % power, if the arms disagree on a fifth of the rows)")
    if plan.margin is not None:
        needed = comparing.expected_parity_rows(plan.margin)
        said = ", ".join(f"{count:,} at {share:.0%}" for share, count in needed.items())
        say(f"parity within {100 * plan.margin:g} points needs {said} of rows that differ")


def _print(found: Comparison, job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
        return
    from orchestrator.reports.terminal import show_comparison

    show_comparison(console(), found)
    say(f"next: ftctl rows {found.id} --lost  ·  ftctl report {job.id}")
