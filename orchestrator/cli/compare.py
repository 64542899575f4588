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
  ftctl compare JOB --test test.jsonl --junit junit.xml --markdown comment.md
  ftctl compare --test test.jsonl --arm recorded:old --arm model:openai/gpt-6-luna
"""


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What was typed."""

    test: Path
    training: Path | None
    provider: str
    candidates: tuple[str, ...]
    baseline: str | None
    arms: tuple[str, ...]
    task: str | None
    grader: str | None
    margin: float | None
    source: str | None
    max_cost: float | None
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
    drop_near: bool
    junit: Path | None
    markdown: Path | None


@click.command(epilog=EXAMPLE)
@click.argument("job_id", metavar="[JOB]", required=False)
@comparison_options
@json_option
@click.pass_context
def compare(ctx: click.Context, /, *, job_id: str | None, as_json: bool, **typed: object) -> int:
    """Measure the tuned model of JOB against baselines on the same samples.

    Without JOB any models are compared: each arm names its own, and the last one is the candidate
    unless --candidate says otherwise. Every answer is kept: the same command again goes on where a
    stopped one was, and pays for no answer twice. Exit code 0: improved (with --margin: not worse);
    1: degraded; 10: undecided.
    """
    options = _Options(**typed)  # type: ignore[arg-type]
    app = wiring.app(ctx)
    job = app.jobs.find(job_id) if job_id else None
    training = _training(app, job, options)
    chosen = select(
        read_samples(options.test, slice_by=options.slice_by, group_by=options.group_by),
        training,
        allow_leakage=options.allow_leakage,
        drop_near=options.drop_near,
        limit=options.limit,
        seed=options.seed,
    )
    plan = _plan(options, chosen)
    grader = make_grader(plan.grader)
    bench = _bench(app, grader, options, job)
    till = Till(book=app.prices, kind=job.kind if job else "", limit=options.max_cost)
    desk = Desk(
        run=None,
        chat=app.provider(job.provider) if job else arm_names.Nobody(),
        account=job.account if job else "",
        store=app.comparisons,
        clock=app.clock,
        till=till,
    )
    context = arm_names.ArmContext(
        job=job,
        training=chosen.clean(training),
        samples=chosen.samples,
        seed=options.seed,
        profile=options.provider,
        host=app.host,
        retriever=app.retriever,
        recordings=app.recordings,
        cheapest=partial(_cheapest, app),
        measure=measure(desk, plan, grader, progress.answers()),
    )
    made = arm_names.make_arms(
        options.arms or (arm_names.DEFAULT_ARMS if job else ()),
        context,
        source=options.source,
        baseline=options.baseline,
        candidates=options.candidates,
    )
    if job is not None:
        _refuse_undeployed(app, job, made)
    _announce(chosen, made, plan)
    found = comparing.compare(
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
        bench=bench,
    )
    _write(app, found, options)
    _print(found, as_json=as_json)
    return exit_code(found)


def _training(app: wiring.App, job: Job | None, options: _Options) -> list[Sample]:
    """The rows that no test row may repeat and that examples come from."""
    if job is None:
        return read_samples(options.training) if options.training else []
    if options.training or options.provider:
        name = "--training" if options.training else "--provider"
        raise UsageError(
            f"{name} is for comparisons without a job; job {job.id} has its own.",
            hint="--arm base@PROFILE:MODEL puts another provider on one arm",
        )
    return read_samples(app.datasets.path(job.training))


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
    if options.source and options.baseline:
        raise UsageError("--source and --baseline both name what the verdict is about; give one.")
    grader = options.grader or (grader_for(options.task) if options.task else "exact")
    references = [sample.reference for sample in chosen.samples]
    return Plan(
        grader=grader,
        margin=_proportion(options.margin),
        source=options.source,
        baseline=options.baseline,
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


def _bench(app: wiring.App, grader: Grader, options: _Options, job: Job | None) -> Bench | None:
    if not isinstance(grader, ModelGrader):
        if options.human:
            raise UsageError("--human measures a judge, and this grader asks no model.")
        return None
    profile = grader.profile or (options.provider if job is None else None)
    if not profile and job is None:
        raise UsageError(
            f"The judge {grader.model} does not say who answers for it.",
            hint=f"--grader judge:{grader.model}@PROFILE",
        )
    return Bench(
        grader,
        host=app.host(profile) if profile else None,
        human=read_human_labels(options.human) if options.human else (),
    )


def _cheapest(app: wiring.App, kind: str) -> str | None:
    return app.prices.cheapest_base(kind, app.listed_lifecycle, app.clock.now().date())


def _announce(chosen: SampleSet, made: Sequence[Arm], plan: Plan) -> None:
    rows, arms = len(chosen.samples), [arm.name for arm in made]
    times = f" x {plan.repeats} repeats" if plan.repeats > 1 else ""
    say(f"{rows} samples x {len(arms)} arms{times}: {', '.join(arms)}")
    say(f"candidate: {', '.join(arm.name for arm in made if arm.candidate)}")
    if chosen.leaked:
        done = "kept, as asked" if chosen.leakage_allowed else "left out"
        say(f"{chosen.leaked} test rows occur in training: {done}")
    if chosen.near:
        named = ", ".join(f"{n.row} (as training row {n.training})" for n in chosen.near[:5])
        more = ", …" if len(chosen.near) > 5 else ""
        done = "left out" if chosen.near_dropped else "kept; --drop-near leaves them out"
        say(f"{len(chosen.near)} test rows nearly repeat a training row, {done}: {named}{more}")
    if chosen.repeated:
        say(f"{chosen.repeated} test rows repeat an earlier one: left out")
    found = comparing.expected_detectable(rows)
    shown = "no difference" if found is None else f"differences from {100 * found:.1f} points"
    say(f"{rows} rows find {shown} (80 % power, if the arms disagree on a fifth of the rows)")
    if plan.margin is not None:
        needed = comparing.expected_parity_rows(plan.margin)
        said = ", ".join(f"{count:,} at {share:.0%}" for share, count in needed.items())
        say(f"parity within {100 * plan.margin:g} points needs {said} of rows that differ")


def _write(app: wiring.App, found: Comparison, options: _Options) -> None:
    """The files for a CI, where they were asked for."""
    from orchestrator.reports.junit import to_junit
    from orchestrator.reports.markdown import comparison_to_markdown
    from orchestrator.usecases.rows import rows_of

    plain = found.as_json()
    if options.junit:
        rows = rows_of(app.comparisons, found, arms=[found.decisive.candidate])
        options.junit.write_text(to_junit(plain, rows), encoding="utf-8")
        say(f"wrote {options.junit}")
    if options.markdown:
        options.markdown.write_text(comparison_to_markdown(plain), encoding="utf-8")
        say(f"wrote {options.markdown}")


def _print(found: Comparison, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
        return
    from orchestrator.reports.terminal import show_comparison

    show_comparison(console(), found)
    about = found.job_id or f"--comparison {found.id}"
    say(f"next: ftctl rows {found.id} --lost  ·  ftctl report {about}")
