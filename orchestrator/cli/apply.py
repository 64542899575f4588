"""`ftctl plan` and `ftctl apply`: what a spec file would do, and doing it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import __version__, wiring
from orchestrator.cli import progress
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.specs.document import Document, SpecInvalid
    from orchestrator.usecases.pipelines.pipeline import PipelinePlan
    from orchestrator.usecases.pipelines.summary import Summary
    from orchestrator.usecases.pipelines.workshop import Workshop

_SPEC = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog="\b\nExample:\n  ftctl plan ftctl.yaml\n  ftctl plan ftctl.yaml --json")
@click.argument("spec", type=_SPEC)
@json_option
@click.pass_context
def plan(ctx: click.Context, spec: Path, as_json: bool) -> int:
    """Say what applying SPEC would do, change and spend; nothing is sent.

    Every mistake of the file and of its data is said at once, with line and column. Exit code 0:
    valid; 1: a dataset has errors; 2: the file has mistakes.
    """
    from orchestrator.specs.document import SpecInvalid
    from orchestrator.usecases.pipelines.plan_words import plan_json, plan_lines

    try:
        with _planned(ctx, spec) as (_, made):
            if as_json:
                print_json(plan_json(made))
            else:
                click.echo("\n".join(plan_lines(made)))
            if not made.is_done:
                say(f"next: ftctl apply {spec}")
    except SpecInvalid as error:
        return _refused(error, as_json=as_json)
    return ExitCode.DONE


@click.command(
    epilog="\b\nExample:\n  ftctl apply ftctl.yaml\n  ftctl apply ftctl.yaml --yes --max-cost 20"
)
@click.argument("spec", type=_SPEC)
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Stay until every job has ended."
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0),
    metavar="USD",
    help="For everything; the lower of this and the file's budget holds.",
)
@click.option(
    "--allow-unpriced",
    is_flag=True,
    help="Submit and ask although nobody knows what it costs; what has a price keeps to its limits.",
)
@click.option("--retry-failed", is_flag=True, help="Ask once more for trainings that failed.")
@json_option
@click.pass_context
def apply(
    ctx: click.Context,
    spec: Path,
    yes: bool,
    wait: bool,
    max_cost: float | None,
    allow_unpriced: bool,
    retry_failed: bool,
    as_json: bool,
) -> int:
    """Do what SPEC says: submit, follow, compare and report whatever is not done yet.

    Applying twice does nothing the second time; killed anywhere and applied again, it goes on where
    it was. Exit code 0: every gate passed; 1: a gate or a job failed; 10: not decided yet.
    """
    from orchestrator.specs.document import SpecInvalid
    from orchestrator.usecases.pipelines.apply import How, apply_pipeline
    from orchestrator.usecases.pipelines.pipeline import spec_digest
    from orchestrator.usecases.pipelines.plan_words import plan_lines

    try:
        with _planned(ctx, spec) as (document, made):
            for line in plan_lines(made):
                say(line)
            _ask(made, yes=yes or as_json)
            how = How(
                wait=wait,
                retry_failed=retry_failed,
                max_cost=max_cost,
                allow_unpriced=allow_unpriced,
                source=spec_digest(document),
            )
            summary = apply_pipeline(made, _workshop(ctx), how)
            _write(summary, made)
    except SpecInvalid as error:
        return _refused(error, as_json=as_json)
    if as_json:
        print_json(summary.plain)
    else:
        _show(summary)
    return summary.exit_code


@contextlib.contextmanager
def _planned(ctx: click.Context, path: Path) -> Iterator[tuple[Document, PipelinePlan]]:
    from orchestrator.specs.whole import read_spec
    from orchestrator.usecases.pipelines.planning import plan_pipeline

    document, spec = read_spec(path)
    with plan_pipeline(document, spec, _workshop(ctx)) as made:
        yield document, made


def _workshop(ctx: click.Context) -> Workshop:
    from orchestrator.usecases.pipelines.workshop import Workshop

    app = wiring.app(ctx)
    ledger = app.ledger(say)
    return Workshop(
        ledger=ledger,
        pipelines=app.pipelines,
        shop=app.shop(),
        profile=app.settings.profile,
        capabilities=wiring.capabilities,
        wait=lambda job, provider: progress.wait(
            job, provider, ledger, fast=app.settings.profile(job.provider).embedded
        ),
        show=progress.answers(),
        deployments=lambda job_id: app.deployments.all(job_id=job_id),
        costs=app.settings.table("costs"),
        version=__version__,
    )


def _refused(error: SpecInvalid, *, as_json: bool) -> int:
    """All mistakes: as JSON for scripts, else as every error is told."""
    if not as_json:
        raise error
    print_json({"ok": False, "mistakes": [mistake.as_json() for mistake in error.mistakes]})
    return error.exit_code


def _ask(made: PipelinePlan, *, yes: bool) -> None:
    """Ask a person before money is spent; scripts have said what they want by calling."""
    if yes or not made.costs_money or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    click.confirm("Apply?", abort=True, err=True)


def _write(summary: Summary, made: PipelinePlan) -> None:
    from orchestrator.reports.json import to_json
    from orchestrator.reports.pipeline import to_markdown

    made.spec.out.mkdir(parents=True, exist_ok=True)
    plain = dict(summary.plain)
    (made.spec.out / "summary.json").write_text(to_json(plain), encoding="utf-8")
    (made.spec.out / "summary.md").write_text(to_markdown(plain), encoding="utf-8")
    say(f"wrote {made.spec.out / 'summary.md'}")


def _show(summary: Summary) -> None:
    from orchestrator.reports import pipeline as words

    plain = summary.plain
    print_table(words.task_columns(plain), words.task_rows(plain))
    if any(task["sweep"] for task in plain["tasks"]):
        click.echo()
        print_table(words.POINT_COLUMNS, words.point_rows(plain))
    click.echo()
    for sentence in words.sentences(plain):
        click.echo(sentence)
