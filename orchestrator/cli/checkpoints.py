"""`ftctl checkpoints`: states of the weights that can answer, and who may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, printable, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.housekeeping import Permission
    from orchestrator.domain.jobs.job import Checkpoint, Job
    from orchestrator.domain.provider import Provider

as_option = click.option(
    "--as", "profile", help="Profile whose key may share, an admin key; the job's own by default."
)


class _ListsByDefault(click.Group):
    """`ftctl checkpoints JOB` is `ftctl checkpoints list JOB`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take what is no command for a job."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_ListsByDefault,
    epilog="\b\nExample:\n  ftctl checkpoints 7k2\n"
    "  ftctl checkpoints share 7k2 20 --project proj_abc",
)
def checkpoints() -> None:
    """List a job's checkpoints (`ftctl checkpoints JOB`) and open them to other projects."""


@checkpoints.command("list", epilog="\b\nExample:\n  ftctl checkpoints list 7k2 --json")
@click.argument("job_id", metavar="JOB")
@json_option
@click.pass_context
def list_(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """List checkpoints by step: metrics, and the name by which each can be asked or deployed."""
    job, _, known = _known(ctx, job_id)
    if as_json:
        print_json([_as_json(each) for each in known])
        return
    if not known:
        say(f"job {job.id} has no checkpoints")
        return
    names = list(dict.fromkeys(name for each in known for name in each.metrics if name != "step"))
    print_table(
        ("STEP", *(name.upper() for name in names), "MODEL"),
        [
            (
                str(each.step),
                *(f"{each.metrics[name]:.4g}" if name in each.metrics else "" for name in names),
                each.model,
            )
            for each in known
        ],
    )


@checkpoints.command(epilog="\b\nExample:\n  ftctl checkpoints shared 7k2 20")
@click.argument("job_id", metavar="JOB")
@click.argument("step", type=int)
@as_option
@json_option
@click.pass_context
def shared(ctx: click.Context, job_id: str, step: int, profile: str | None, as_json: bool) -> None:
    """List the projects that may use the checkpoint at a step."""
    from orchestrator.usecases.jobs.checkpoints import sharing

    model, provider = _chosen(ctx, job_id, step, profile)
    _print(model, sharing(provider).permissions(model), as_json=as_json)


@checkpoints.command(epilog="\b\nExample:\n  ftctl checkpoints share 7k2 20 --project proj_abc")
@click.argument("job_id", metavar="JOB")
@click.argument("step", type=int)
@click.option("--project", "projects", multiple=True, required=True, help="May be repeated.")
@as_option
@json_option
@click.pass_context
def share(
    ctx: click.Context,
    job_id: str,
    step: int,
    projects: tuple[str, ...],
    profile: str | None,
    as_json: bool,
) -> None:
    """Let other projects of the organisation use the checkpoint at a step."""
    from orchestrator.usecases.jobs.checkpoints import sharing

    model, provider = _chosen(ctx, job_id, step, profile)
    _print(model, sharing(provider).share(model, projects), as_json=as_json)


@checkpoints.command(epilog="\b\nExample:\n  ftctl checkpoints unshare 7k2 20 --project proj_abc")
@click.argument("job_id", metavar="JOB")
@click.argument("step", type=int)
@click.option("--project", required=True, help="Whose permission is taken back.")
@as_option
@json_option
@click.pass_context
def unshare(
    ctx: click.Context, job_id: str, step: int, project: str, profile: str | None, as_json: bool
) -> None:
    """Take a project's permission back."""
    from orchestrator.usecases.jobs import checkpoints as use

    model, provider = _chosen(ctx, job_id, step, profile)
    use.unshare(model, project, provider)
    _print(model, use.sharing(provider).permissions(model), as_json=as_json)


def _known(ctx: click.Context, job_id: str) -> tuple[Job, Provider, Sequence[Checkpoint]]:
    from orchestrator.usecases.jobs.checkpoints import checkpoints_of

    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    provider = app.provider(job.provider)
    return job, provider, checkpoints_of(job, provider, app.ledger(say))


def _chosen(
    ctx: click.Context, job_id: str, step: int, profile: str | None
) -> tuple[str, Provider]:
    """The checkpoint's name, and who is asked about it."""
    from orchestrator.usecases.jobs.checkpoints import model_at

    job, provider, known = _known(ctx, job_id)
    return model_at(step, known, job), wiring.app(ctx).provider(profile) if profile else provider


def _print(model: str, permissions: Sequence[Permission], *, as_json: bool) -> None:
    if as_json:
        told = [{"id": each.id, "project": each.project} for each in permissions]
        print_json({"checkpoint": model, "permissions": told})
        return
    for each in permissions:
        click.echo(printable(f"{each.project}  {each.id}"))
    if not permissions:
        say(f"{model} is open to no other project")


def _as_json(each: Checkpoint) -> dict[str, Any]:
    return {
        "id": each.remote_id,
        "step": each.step,
        "model": each.model,
        "created_at": each.created_at.isoformat(),
        "metrics": dict(each.metrics),
    }
