"""`ftctl deploy | deployments | undeploy`: tuned models that answer, and are billed by the hour."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli import tell
from orchestrator.cli import tell_deployments as telling
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.domain.jobs.deployment import DeploymentState
from orchestrator.usecases.jobs.dated import newest_tiers

if TYPE_CHECKING:
    from orchestrator.domain.jobs.deployment import Deployment, DeploymentHost
    from orchestrator.domain.jobs.job import Checkpoint, Job
    from orchestrator.usecases.hosting.deploying import Yard
    from orchestrator.usecases.hosting.deployment_plan import Wish

_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(
    epilog="\b\nExample:\n  ftctl deploy 7k2 --dry-run\n  ftctl deploy 7k2 --sku DeveloperTier --wait"
)
@click.argument("job_id", metavar="JOB")
@click.option(
    "--sku",
    help="Standard, GlobalStandard, DataZoneStandard, DeveloperTier or another of the host's."
    "  [default: GlobalStandard]",
)
@click.option(
    "--capacity",
    type=click.IntRange(1),
    help="Thousands of tokens a minute; counts against a quota, not on the bill.  [default: 10]",
)
@click.option("--name", help="Of the deployment.  [default: ftctl-JOB]")
@click.option(
    "--checkpoint", type=click.IntRange(0), metavar="STEP", help="Serve that checkpoint instead."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and cost; send nothing.")
@_YES
@click.option("--wait", is_flag=True, help="Stay until it stands or has failed.")
@json_option
@click.pass_context
def deploy(
    ctx: click.Context,
    job_id: str,
    sku: str | None,
    capacity: int | None,
    name: str | None,
    checkpoint: int | None,
    dry_run: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Deploy the tuned model of JOB at its provider, after saying what that costs idle.

    The intent is written down before anything is sent; the same command again goes on with it and
    makes no second deployment. Exit code: 0 the host took it; 1 it said no; 4 no clear answer.
    """
    from orchestrator.usecases.hosting import deploying

    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    wish = _wish(app, job, sku=sku, capacity=capacity, name=name, step=checkpoint)
    for line in wish.lines():
        say(line)
    ends = tell.model_ends(job, app.lifecycle)
    if ends is not None and ends.day is not None:
        say(f"the model stops answering on {ends.day}, deployed or not")
    if dry_run:
        if as_json:
            print_json(_dry(wish))
        return ExitCode.DONE
    if not wish.is_free:
        _ask(f"Deploy '{wish.name}'?", yes=yes, hint=f"ftctl deploy {job.id} --yes")
    yard, host = app.yard(say), app.deployment_host(job.provider)
    deployment = deploying.record(wish, host, yard)
    with app.claim(deployment.id):
        deployment = deploying.send(app.deployments.get(deployment.id), host, yard)
    if wait:
        deployment = _waited(deployment, host, yard)
    return _outcome(app, deployment, as_json=as_json)


@click.group(
    invoke_without_command=True,
    epilog="\b\nExample:\n  ftctl deployments\n  ftctl deployments list --all --json",
)
@json_option
@click.pass_context
def deployments(ctx: click.Context, as_json: bool) -> None:
    """List what is deployed, what each costs, and when it was last called."""
    if ctx.invoked_subcommand is None:
        _list(wiring.app(ctx), every=False, as_json=as_json)


@deployments.command("list", epilog="\b\nExample:\n  ftctl deployments list --all")
@click.option("--all", "every", is_flag=True, help="Those that are over, too.")
@json_option
@click.pass_context
def list_deployments(ctx: click.Context, every: bool, as_json: bool) -> None:
    """List what is deployed. Reads the ledger; `sync` asks the host."""
    _list(wiring.app(ctx), every=every, as_json=as_json)


@click.command(epilog="\b\nExample:\n  ftctl undeploy 7k2")
@click.argument("which", metavar="DEPLOYMENT|JOB")
@_YES
@json_option
@click.pass_context
def undeploy(ctx: click.Context, which: str, yes: bool, as_json: bool) -> int:
    """End a deployment: by its id, its name, or its job when that has one alone.

    The model itself stays, and can be deployed again. What the host cannot be asked now is asked by
    `sync`. Exit code: 0 gone, or on its way; 4 the host cannot be asked.
    """
    from orchestrator.usecases.hosting import undeploying

    app = wiring.app(ctx)
    deployment = _the_one(app, which)
    told = telling.told([deployment], app.deployments, app.clock.now())[0]
    say(
        f"{deployment.name} of job {deployment.job_id}, {deployment.state}:"
        f" {telling.money(told.cost)} so far"
    )
    _ask(f"End '{deployment.name}'?", yes=yes, hint=f"ftctl undeploy {deployment.id} --yes")
    yard = app.yard(say)
    with app.claim(deployment.id):
        deployment = app.deployments.get(deployment.id)
        if deployment.is_unsent:
            deployment = undeploying.give_up(deployment, yard)
        else:
            host = app.deployment_host(deployment.provider)
            deployment = undeploying.undeploy(deployment, host, yard)
    return _outcome(app, deployment, as_json=as_json)


def _wish(
    app: wiring.App,
    job: Job,
    *,
    sku: str | None,
    capacity: int | None,
    name: str | None,
    step: int | None,
) -> Wish:
    from orchestrator.usecases.hosting import deployment_plan

    able = wiring.capabilities(app.settings.profile(job.provider))
    return deployment_plan.wish(
        job,
        able,
        newest_tiers(able.prices or job.kind),
        app.prices,
        sku=sku,
        capacity=capacity,
        name=name,
        checkpoint=_checkpoint(app, job, step),
        known=app.deployments.all(job_id=job.id),
    )


def _checkpoint(app: wiring.App, job: Job, step: int | None) -> Checkpoint | None:
    if step is None:
        return None
    points = {point.step: point for point in app.jobs.checkpoints(job.id)}
    if step not in points:
        known = ", ".join(map(str, sorted(points))) or "none"
        raise UsageError(f"Job {job.id} has no checkpoint at step {step}; it has {known}.")
    return points[step]


def _waited(deployment: Deployment, host: DeploymentHost, yard: Yard) -> Deployment:
    from orchestrator.usecases.hosting import deploying
    from orchestrator.usecases.hosting.following import look

    return deploying.wait(
        deployment,
        lambda now: look(now, host, yard),
        yard,
        told=lambda now: say(f"{now.name} {now.state}"),
    )


def _the_one(app: wiring.App, which: str) -> Deployment:
    found = [
        each for each in app.deployments.find(which) if each.state is not DeploymentState.DELETED
    ]
    if not found:
        raise UsageError(f"Nothing is deployed as '{which}'.", hint="ftctl deployments")
    if len(found) > 1:
        names = ", ".join(f"{each.id} ({each.name})" for each in found)
        raise UsageError(f"'{which}' names more than one deployment: {names}.")
    return found[0]


def _list(app: wiring.App, *, every: bool, as_json: bool) -> None:
    rows = app.deployments.all()
    shown = rows if every else [each for each in rows if each.state is not DeploymentState.DELETED]
    some = telling.told(shown, app.deployments, app.clock.now())
    if as_json:
        print_json([telling.as_json(each) for each in some])
        return
    if not some:
        say("nothing is deployed; ftctl deploy JOB" + ("" if every else ", or --all for the past"))
        return
    telling.table(some)
    for each in some:
        if each.deployment.may_cost:
            say(telling.warning(each))
        elif each.deployment.is_unsent:
            job = each.deployment.job_id
            say(f"{each.deployment.name} was never asked for; ftctl deploy {job} goes on with it")


def _ask(question: str, *, yes: bool, hint: str) -> None:
    """Ask a person; where there is none, the flag must say it."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("This is billed by the hour, or ends what answers: say --yes.", hint=hint)
    click.confirm(question, abort=True, err=True)


def _dry(wish: Wish) -> dict[str, Any]:
    hour, month = wish.hour.micros, wish.hour.month
    return {
        "id": None,
        "job": wish.job.id,
        "provider": wish.job.provider,
        "name": wish.name,
        "model": wish.model,
        "sku": wish.sku,
        "capacity": wish.capacity,
        "state": "dry-run",
        "usd_per_hour": None if hour is None else hour / 1e6,
        "usd_per_month": None if month is None else float(month),
        "price": wish.hour.note,
    }


def _outcome(app: wiring.App, deployment: Deployment, *, as_json: bool) -> int:
    told = telling.told([deployment], app.deployments, app.clock.now())[0]
    if as_json:
        print_json(telling.as_json(told))
    else:
        click.echo(f"{deployment.id}  {deployment.state}  {deployment.name}")
    if deployment.error:
        say(f"the host says: {deployment.error.message}")
    if deployment.state is DeploymentState.SUCCEEDED:
        say(telling.warning(told))
        say(f"next: ftctl compare {deployment.job_id} --test FILE")
    elif deployment.state.is_moving and deployment.undeploy_at is None:
        say("next: ftctl sync, or ftctl status " + deployment.job_id)
    elif deployment.state is DeploymentState.DELETING:
        say("its end is under way; ftctl sync sees to it")
    if deployment.state is DeploymentState.UNKNOWN:
        say("no clear answer came back; `ftctl sync` finds out, and it may be billed until then")
        return ExitCode.TRY_LATER
    return ExitCode.NO if deployment.state is DeploymentState.FAILED else ExitCode.DONE
