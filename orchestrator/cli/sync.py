"""`ftctl sync`: one pass, made for cron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli import progress, tell
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.errors import ExitCode
from orchestrator.domain.jobs.deployment import DeploymentState
from orchestrator.domain.jobs.job import JobStatus

if TYPE_CHECKING:
    from orchestrator.usecases.hosting.following import Followed
    from orchestrator.usecases.jobs.sync import Pass


@click.command(epilog="\b\nExample:\n  ftctl sync\n  ftctl sync --json")
@click.option("--all", "everything", is_flag=True, help="Every job, also those not due yet.")
@json_option
@click.pass_context
def sync(ctx: click.Context, everything: bool, as_json: bool) -> int:
    """One short pass over unfinished jobs; made for cron, silent when nothing changed.

    A job is asked about when it is due: soon after a change, every five minutes in a long wait.
    Deployments are followed, too, as long as they may be billed; none is ever started here.

    Exit code: 0 all asked; 1 a job failed or needs review; 4 a provider could not be asked. Passes
    that overlap step aside.
    """
    from orchestrator.usecases.hosting.following import Followed, follow
    from orchestrator.usecases.jobs.sync import SETTLE, Pass
    from orchestrator.usecases.jobs.sync import sync as one_pass

    app = wiring.app(ctx)
    settle = app.settings.settle_time(SETTLE)
    with app.claim("sync") as ours:
        done, hosted = Pass(), Followed()
        if ours:
            with progress.of_a_pass() as told:
                done = one_pass(app.ledger(say), settle=settle, everything=everything, told=told)
            hosted = follow(app.yard(say), everything=everything)
    unreachable = [*done.unreachable, *hosted.unreachable]
    if as_json:
        print_json(
            {
                "checked": done.checked,
                "changed": [
                    {"id": each.job.id, "before": str(each.before), "after": str(each.job.status)}
                    for each in done.changes
                ],
                "requests": done.requests + hosted.requests,
                "deployments": [
                    {
                        "id": each.deployment.id,
                        "name": each.deployment.name,
                        "before": str(each.before),
                        "after": str(each.deployment.state),
                    }
                    for each in hosted.changes
                ],
                "unreachable": [
                    {"provider": name, "error": error.message} for name, error in unreachable
                ],
                "waiting": [
                    {"provider": name, "until": until.isoformat()}
                    for name, until in (*done.waiting, *hosted.waiting)
                ],
                "skipped": not ours,
            }
        )
    else:
        for each in done.changes:
            click.echo(f"{each.job.id}  {each.before} → {each.job.status}")
            for line in tell.ways_out(each.job, app.listed_lifecycle, app.clock.now()):
                say(line)
        for moved in hosted.changes:
            found = moved.deployment
            click.echo(f"{found.id}  {moved.before} → {found.state}  {found.name}")
        for name, error in unreachable:
            say(f"{name}: {error.message}")
    # After the lock is given back and the result is printed: no receiver holds up a pass.
    app.tell_others(say)
    return _exit_code(done, hosted)


def _exit_code(done: Pass, hosted: Followed) -> int:
    bad = {JobStatus.FAILED, JobStatus.REJECTED, JobStatus.NEEDS_REVIEW}
    if done.unreachable or hosted.unreachable:
        return ExitCode.TRY_LATER
    failed = [e for e in hosted.changes if e.deployment.state is DeploymentState.FAILED]
    if failed or any(each.job.status in bad for each in done.changes):
        return ExitCode.NO
    return ExitCode.DONE
