"""`ftctl submit`: validate, say what it costs, upload, ask for the job once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli import progress, tell
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.errors import ConfigurationError, ExitCode
from orchestrator.domain.job import Hyperparameters, Job, JobStatus, Method

if TYPE_CHECKING:
    from orchestrator.usecases.plan import Plan

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="\b\nExample:\n"
    "  ftctl submit train.jsonl --provider local --model tiny --wait\n"
    "  ftctl submit train.jsonl --provider openai --model gpt-4.1-mini-2025-04-14 --dry-run"
)
@click.argument("training", type=_FILE)
@click.option(
    "--validation", type=_FILE, help="Rows on which training is measured, never trained on."
)
@click.option("--provider", "provider_name", help="Profile; see `ftctl providers list`.")
@click.option("--model", help="Base model: tiny, smollm2, a folder, a Hub id, a provider's model.")
@click.option(
    "--method",
    type=click.Choice([str(method) for method in Method]),
    default=str(Method.SUPERVISED),
    show_default=True,
)
@click.option("--epochs", type=click.IntRange(1, 50), help="Passes over the data.  [default: auto]")
@click.option("--batch-size", type=click.IntRange(1, 256), help="Examples a step.  [default: auto]")
@click.option(
    "--learning-rate-multiplier",
    type=click.FloatRange(0, min_open=True),
    help="Factor on the provider's own learning rate.  [default: auto]",
)
@click.option("--suffix", help="Goes into the tuned model's name.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Same data and seed, same result.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and cost; send nothing.")
@click.option(
    "--again",
    is_flag=True,
    help="Submit although the same training ran within a day, or the account was refused.",
)
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--wait", is_flag=True, help="Stay until the job has ended, with progress.")
@json_option
@click.pass_context
def submit(
    ctx: click.Context,
    training: Path,
    validation: Path | None,
    provider_name: str | None,
    model: str | None,
    method: str,
    epochs: int | None,
    batch_size: int | None,
    learning_rate_multiplier: float | None,
    suffix: str | None,
    seed: int | None,
    dry_run: bool,
    again: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Validate a dataset, upload it and start a fine-tuning job.

    Nothing is sent when the data has errors. The intent is written down before anything is sent, so
    that no job is lost and none is paid for twice; see docs/reliability.md.
    """
    from orchestrator.usecases import plan as planning
    from orchestrator.usecases import submit as submitting

    app = wiring.app(ctx)
    request = planning.Request(
        profile=app.settings.profile(_default(app, "provider", provider_name)),
        model=_default(app, "model", model),
        training=training,
        validation=validation,
        method=Method(method),
        hyperparameters=Hyperparameters(
            n_epochs=epochs,
            batch_size=batch_size,
            learning_rate_multiplier=learning_rate_multiplier,
        ),
        suffix=suffix,
        seed=seed,
    )
    with planning.plan(
        request,
        wiring.capabilities(request.profile),
        app.prices,
        app.lifecycle,
        app.clock.now(),
    ) as plan:
        for line in plan.lines():
            say(line)
        if not again:
            wiring.refuse_closed(app, request.profile)
        if dry_run:
            return _print_dry_run(plan, as_json=as_json)
        _ask(plan, yes=yes or as_json)
        provider = app.provider(request.profile.name)
        ledger = app.ledger(say)
        job = submitting.record(plan.intent(provider.account), ledger, again=again)
    say(f"job {job.id}")
    with app.claim(job.id):
        job = submitting.submit(job, provider, ledger)
    if wait and not job.status.is_final:
        job = progress.wait(job, provider, ledger, fast=request.profile.embedded)
    for line in tell.ways_out(job, app.lifecycle, app.clock.now()):
        say(line)
    return _print_outcome(job, plan.estimate_json(), as_json=as_json)


def _print_dry_run(plan: Plan, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "id": None,
                "status": "dry-run",
                "provider": plan.request.profile.name,
                "model": plan.request.model,
                "remote_id": None,
                "estimate": plan.estimate_json(),
            }
        )
    else:
        say("dry run: nothing was sent or written")
    return ExitCode.DONE


def _print_outcome(job: Job, estimate: object, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "id": job.id,
                "status": str(job.status),
                "provider": job.provider,
                "model": job.model,
                "remote_id": job.remote_id,
                "tuned_model": job.tuned_model,
                "error": job.error.message if job.error else None,
                "estimate": estimate,
            }
        )
    else:
        click.echo(f"{job.id}  {job.status}" + (f"  {job.tuned_model}" if job.tuned_model else ""))
        if job.error:
            say(f"the provider says: {job.error.message}")
        step = tell.next_step(job)
        if step:
            say(f"next: {step}")
    if job.status is JobStatus.UNKNOWN:
        say("no clear answer came back; `ftctl sync` finds out and never submits it twice")
        return ExitCode.TRY_LATER
    failed = job.status in {JobStatus.FAILED, JobStatus.REJECTED, JobStatus.CANCELLED}
    return ExitCode.NO if failed else ExitCode.DONE


def _ask(plan: Plan, *, yes: bool) -> None:
    """Ask a person before money is spent; scripts have said what they want by calling."""
    if yes or not plan.costs_money or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    click.confirm("Submit?", abort=True, err=True)


def _default(app: wiring.App, name: str, given: str | None) -> str:
    value = given or app.settings.table("defaults").get(name)
    if not value:
        raise ConfigurationError(
            f"Which {name}? None was named.",
            hint=f'--{name} NAME, or {name} = "NAME" under [defaults] in ftctl.toml',
        )
    return str(value)
