"""`ftctl compare`: measure a tuned model against baselines on the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli.output import console, json_option, print_json, say
from orchestrator.domain.comparison import Plan
from orchestrator.domain.errors import ExitCode
from orchestrator.usecases import arms as arm_names
from orchestrator.usecases import compare as comparing
from orchestrator.usecases.samples import read_samples, select

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.domain.comparison import Comparison, Progress
    from orchestrator.domain.job import Job
    from orchestrator.usecases.samples import SampleSet

EXAMPLE = """\b
Example:
  ftctl compare JOB --test test.jsonl
  ftctl compare JOB --test test.jsonl --arm base --arm few-shot:8 --arm tuned --margin 3
"""


@click.command(epilog=EXAMPLE)
@click.argument("job_id", metavar="JOB")
@click.option("--test", "test", type=click.Path(path_type=Path), required=True, help="Chat JSONL.")
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME",
    help="base, few-shot:K, tuned, or NAME:MODEL; repeat it. Default: base, few-shot:6, tuned.",
)
@click.option("--grader", default="exact", show_default=True, help="Grader of the primary metric.")
@click.option("--margin", type=float, help="Largest loss that does not matter, in points (parity).")
@click.option("--limit", type=click.IntRange(min=1), help="Ask only so many rows, drawn by --seed.")
@click.option(
    "--slice-by", metavar="FIELD", help="Field of a row, or of its metadata, to slice by."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of examples and resampling.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens of an answer.")
@click.option("--max-missing", type=float, default=1.0, show_default=True, help="In percent.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Calls at once."
)
@click.option("--allow-leakage", is_flag=True, help="Keep test rows that training has.")
@json_option
@click.pass_context
def compare(
    ctx: click.Context,
    *,
    job_id: str,
    test: Path,
    arms: tuple[str, ...],
    grader: str,
    margin: float | None,
    limit: int | None,
    slice_by: str | None,
    seed: int,
    max_tokens: int | None,
    max_missing: float,
    concurrency: int,
    allow_leakage: bool,
    as_json: bool,
) -> int:
    """Measure the tuned model of JOB against baselines on the same samples.

    Every answer is kept: the same command again goes on where a stopped one was, and pays for no
    answer twice. Exit code 0: improved (with --margin: not worse); 1: degraded; 10: undecided.
    """
    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    training = read_samples(app.datasets.path(job.training))
    chosen = select(
        read_samples(test, slice_by=slice_by),
        training,
        allow_leakage=allow_leakage,
        limit=limit,
        seed=seed,
    )
    context = arm_names.ArmContext(job=job, training=training, samples=chosen.samples, seed=seed)
    made = arm_names.make_arms(arms or arm_names.DEFAULT_ARMS, context)
    plan = Plan(
        grader=grader,
        margin=_proportion(margin),
        max_missing=max_missing / 100,
        max_tokens=max_tokens or comparing.token_limit([s.reference for s in chosen.samples]),
        concurrency=concurrency,
        seed=seed,
    )
    _announce(chosen, [arm.name for arm in made])
    found = comparing.compare(
        job,
        chosen,
        made,
        chat=app.provider(job.provider),
        store=app.comparisons,
        clock=app.clock,
        plan=plan,
        progress=_progress(as_json),
    )
    _print(found, job, as_json=as_json)
    return exit_code(found)


def exit_code(found: Comparison) -> ExitCode:
    """0 when the gate opens, 1 when it stays shut, 10 when the rows do not decide."""
    passes = found.verdict.passes
    if passes is None:
        return ExitCode.INCONCLUSIVE
    return ExitCode.DONE if passes else ExitCode.NO


def _proportion(points: float | None) -> float | None:
    if points is not None and not 0 < points < 100:
        raise click.BadParameter("a margin lies between 0 and 100 points", param_hint="--margin")
    return None if points is None else points / 100


def _announce(chosen: SampleSet, arms: list[str]) -> None:
    rows = len(chosen.samples)
    say(f"{rows} samples x {len(arms)} arms: {', '.join(arms)}")
    if chosen.leaked:
        done = "kept, as asked" if chosen.leakage_allowed else "left out"
        say(f"{chosen.leaked} test rows occur in training: {done}")
    if chosen.repeated:
        say(f"{chosen.repeated} test rows repeat an earlier one: left out")
    found = comparing.expected_detectable(rows)
    shown = "no difference" if found is None else f"differences from {100 * found:.1f} points"
    say(f"{rows} rows find {shown} (80 % power, if the arms disagree on a fifth of the rows)")


def _progress(as_json: bool) -> Callable[[Progress], None] | None:
    terminal = console(stderr=True)
    if as_json or not terminal.is_terminal:
        return None

    def show(now: Progress) -> None:
        known = f", {now.cached} known" if now.cached else ""
        lost = f", {now.missing} missing" if now.missing else ""
        end = "\n" if now.done == now.total else ""
        click.echo(f"\r{now.done}/{now.total} answers{known}{lost}{end}", err=True, nl=False)

    return show


def _print(found: Comparison, job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
        return
    from orchestrator.reports.terminal import show_comparison

    show_comparison(console(), found)
    say(f"next: ftctl report {job.id}")
