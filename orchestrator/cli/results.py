"""`ftctl results | delete`: what a job left at its provider."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, printable, say
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.jobs.job import Job
    from orchestrator.usecases.jobs.results import Table

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(
    epilog="\b\nExample:\n  ftctl results 7k2 --out metrics/\n  ftctl results 7k2 --json"
)
@click.argument("job_id", metavar="JOB")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files; without it they are printed.",
)
@json_option
@click.pass_context
def results(ctx: click.Context, job_id: str, out: Path | None, as_json: bool) -> None:
    """Download the tables of training metrics of a job, whatever their columns are called."""
    from orchestrator.usecases.jobs.results import results as download

    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    tables = download(job, app.provider(job.provider))
    written = _written(job, tables, out) if out else []
    if as_json:
        files = [each.as_json() for each in tables]
        print_json({"id": job.id, "files": files, "written": [str(path) for path in written]})
        return
    for path in written:
        click.echo(path)
    if not out:
        for each in tables:
            click.echo(printable(each.as_csv()), nl=False)


@click.command(epilog="\b\nExample:\n  ftctl delete 7k2 --tuned-model\n  ftctl delete 7k2 --record")
@click.argument("job_id", metavar="JOB")
@click.option("--tuned-model", is_flag=True, help="The tuned model; it answers never again.")
@click.option("--record", is_flag=True, help="The provider's record of the job, where it can go.")
@yes_option
@json_option
@click.pass_context
def delete(
    ctx: click.Context, job_id: str, tuned_model: bool, record: bool, yes: bool, as_json: bool
) -> None:
    """Delete at the provider what a job left there. The ledger keeps its own record."""
    from orchestrator.usecases import housekeeping

    if not (tuned_model or record):
        raise UsageError("Delete what?", hint=f"ftctl delete {job_id} --tuned-model")
    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    provider, ledger = app.provider(job.provider), app.ledger(say)
    what = [job.tuned_model or "the tuned model"] * tuned_model
    what += [f"the record {job.remote_id}"] * record
    confirm(f"Delete {' and '.join(what)} at {job.provider} for good?", yes=yes)
    gone = [housekeeping.delete_tuned_model(job, provider, ledger)] if tuned_model else []
    gone += [housekeeping.delete_record(job, provider, ledger)] if record else []
    if as_json:
        print_json({"id": job.id, "deleted": gone})
        return
    for name in gone:
        click.echo(f"deleted {printable(name)}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person before something is gone.

    Raises:
        UsageError: there is nobody to ask, and `--yes` was not said.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("Nobody is there to confirm it.", hint="the same with --yes")
    click.confirm(printable(question), abort=True, err=True)


def _written(job: Job, tables: Sequence[Table], out: Path) -> list[Path]:
    """One file each, named by us: what a provider calls a file is no path."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, each in enumerate(tables, 1):
        path = out / (f"{job.id}.csv" if len(tables) == 1 else f"{job.id}-{number}.csv")
        path.write_text(each.as_csv(), encoding="utf-8")
        paths.append(path)
    return paths
