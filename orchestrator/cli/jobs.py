"""`ftctl status | events | cancel | pause | resume | resolve`: jobs that exist."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli import progress, tell
from orchestrator.cli import tell_deployments as telling
from orchestrator.cli.output import json_option, print_json, printable, say
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.move import Move
    from orchestrator.domain.money.spending import Spending


@click.command(epilog="\b\nExample:\n  ftctl status\n  ftctl status 7k2 --watch")
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option("--watch", is_flag=True, help="Stay until the job has ended.")
@click.option("--all", "every", is_flag=True, help="All jobs, not only the newest 50.")
@json_option
@click.pass_context
def status(ctx: click.Context, job_id: str | None, watch: bool, every: bool, as_json: bool) -> None:
    """Show all jobs of all providers, or one job whole. Reads the ledger; `sync` asks providers."""
    app = wiring.app(ctx)
    if job_id is None:
        if watch:
            raise UsageError("--watch needs a job.", hint="ftctl status JOB --watch")
        _print_all(app, every=every, as_json=as_json)
        return
    job = app.jobs.find(job_id)
    if watch:
        profile = app.settings.profile(job.provider)
        job = progress.wait(job, app.provider(job.provider), app.ledger(say), fast=profile.embedded)
    hosted = telling.told(app.deployments.all(job_id=job.id), app.deployments, app.clock.now())
    move = _move(app, job)
    if as_json:
        told = [telling.as_json(each) for each in hosted]
        ends = tell.model_ends(job, app.lifecycle)
        plain = tell.as_json(job, ends, app.spendings.of_job(job.id), move)
        print_json(plain | ({"deployments": told} if told else {}))
        return
    click.echo(
        tell.page(
            job,
            app.jobs.events(job.id),
            app.jobs.metrics(job.id),
            app.jobs.checkpoints(job.id),
            app.jobs.transitions(job.id),
            [
                *tell.life_facts(job, app.lifecycle, app.clock.now()),
                *tell.cost_facts(app.spendings.of_job(job.id)),
                *tell.move_facts(move),
            ],
            move.parity if move else None,
        )
    )
    if hosted:
        telling.table(hosted)
    _warn(hosted)


@click.command(epilog="\b\nExample:\n  ftctl events 7k2 --limit 20")
@click.argument("job_id", metavar="JOB")
@click.option("--limit", type=click.IntRange(1), help="Only the newest so many.")
@json_option
@click.pass_context
def events(ctx: click.Context, job_id: str, limit: int | None, as_json: bool) -> None:
    """Show the history of a job: the provider's events and what ftctl noticed, oldest first."""
    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    found = list(app.jobs.events(job.id))[-(limit or 0) :]
    if as_json:
        print_json([tell.event_json(event) for event in found])
        return
    for event in found:
        click.echo(printable(tell.event_line(event)))


@click.command(epilog="\b\nExample:\n  ftctl cancel 7k2")
@click.argument("job_id", metavar="JOB")
@json_option
@click.pass_context
def cancel(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Ask the provider to stop a job; a job that was never sent is stopped here."""
    _control(ctx, job_id, "cancel", as_json=as_json)


@click.command(epilog="\b\nExample:\n  ftctl pause 7k2")
@click.argument("job_id", metavar="JOB")
@json_option
@click.pass_context
def pause(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Ask the provider to hold a job, where it can."""
    _control(ctx, job_id, "pause", as_json=as_json)


@click.command(epilog="\b\nExample:\n  ftctl resume 7k2")
@click.argument("job_id", metavar="JOB")
@json_option
@click.pass_context
def resume(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Ask the provider to go on with a paused job."""
    _control(ctx, job_id, "resume", as_json=as_json)


@click.command(
    epilog="\b\nExample:\n  ftctl resolve 7k2 --remote-id ftjob-abc\n  ftctl resolve 7k2 --absent"
)
@click.argument("job_id", metavar="JOB")
@click.option("--remote-id", help="The provider's job that is this one.")
@click.option("--absent", is_flag=True, help="The provider has no such job: it may be sent again.")
@json_option
@click.pass_context
def resolve(
    ctx: click.Context, job_id: str, remote_id: str | None, absent: bool, as_json: bool
) -> None:
    """Settle a job of which nobody but you can say whether the provider has it."""
    from orchestrator.usecases.jobs import control

    if absent == bool(remote_id):
        raise UsageError("Say either --remote-id ID or --absent.")
    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    if remote_id:
        job = control.resolve_as(job, remote_id, app.ledger(say))
    else:
        job = control.resolve_as_absent(job, app.ledger(say))
    _print_job(app, job, as_json=as_json)


def _warn(hosted: Sequence[telling.Told]) -> None:
    for each in hosted:
        if each.deployment.may_cost:
            say(telling.warning(each))


def _move(app: wiring.App, job: Job) -> Move | None:
    """The move that made a job, with a recording that was made since."""
    move = app.moves.of(job.id)
    if move is None:
        return None
    from orchestrator.usecases.moving.parity import completed

    source = app.jobs.get(move.source_id)
    return replace(move, parity=completed(move.parity, source, app.recordings))


def _control(ctx: click.Context, job_id: str, verb: str, *, as_json: bool) -> None:
    from orchestrator.usecases.jobs import control

    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    job = getattr(control, verb)(job, app.ledger(say))
    _print_job(app, job, as_json=as_json)


def _print_job(app: wiring.App, job: Job, *, as_json: bool) -> None:
    if as_json:
        ends = tell.model_ends(job, app.lifecycle)
        print_json(tell.as_json(job, ends, app.spendings.of_job(job.id)))
    else:
        click.echo(f"{job.id}  {job.status}")


def _print_all(app: wiring.App, *, every: bool, as_json: bool) -> None:
    jobs = app.jobs.all()
    if as_json:
        spendings: dict[str | None, list[Spending]] = defaultdict(list)
        for each in app.spendings.all():
            spendings[each.job_id].append(each)
        print_json(
            [
                tell.as_json(job, tell.model_ends(job, app.lifecycle), spendings[job.id])
                for job in jobs
            ]
        )
        return
    if not jobs:
        say(
            "no jobs yet; start with: ftctl submit train.jsonl --provider local --model tiny --wait"
        )
        return
    shown = jobs if every else jobs[:50]
    tell.table(shown, app.clock.now())
    if len(shown) < len(jobs):
        say(f"{len(jobs) - len(shown)} older jobs; --all shows them")
    costly = [each for each in app.deployments.all() if each.may_cost]
    _warn(telling.told(costly, app.deployments, app.clock.now()))
    ending = tell.ending_soon(jobs, app.lifecycle, app.clock.now())
    if ending:
        say(f"{ending}; see: ftctl models --expiring")
