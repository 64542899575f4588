"""`ftctl submit`: validate, say what it costs, upload, ask for the job once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli import progress, tell
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.cli.submit_options import (
    cost_options,
    hyperparameters_from,
    options_from,
    request_options,
)
from orchestrator.domain.errors import ConfigurationError, ExitCode
from orchestrator.domain.jobs.job import Job, JobStatus, Method
from orchestrator.domain.money.usd import micros

if TYPE_CHECKING:
    from orchestrator.usecases.jobs.plan import Plan

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
@request_options
@click.option("--dry-run", is_flag=True, help="Say what would be done and cost; send nothing.")
@click.option(
    "--again",
    is_flag=True,
    help="Submit although the same training ran within a day, or the account was refused.",
)
@cost_options
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--wait", is_flag=True, help="Stay until the job has ended, with progress.")
@json_option
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    training: Path,
    validation: Path | None,
    provider_name: str | None,
    model: str | None,
    method: str,
    dry_run: bool,
    again: bool,
    max_cost: float | None,
    allow_unpriced: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Validate a dataset, upload it and start a fine-tuning job.

    Nothing is sent when the data has errors. The intent is written down before anything is sent, so
    that no job is lost and none is paid for twice; see docs/reliability.md.
    """
    from orchestrator.usecases.comparing.allowance import release_dead
    from orchestrator.usecases.jobs import plan as planning
    from orchestrator.usecases.jobs import submit as submitting
    from orchestrator.usecases.jobs.dated import newest_request_limits

    app = wiring.app(ctx)
    profile = app.settings.profile(_default(app, "provider", provider_name))
    limits = newest_request_limits(profile.kind)
    request = planning.Request(
        profile=profile,
        model=_default(app, "model", model),
        training=training,
        validation=validation,
        method=Method(method),
        hyperparameters=hyperparameters_from(chosen),
        options=options_from(chosen, limits.grader_source_bytes),
        suffix=chosen["suffix"],
        seed=chosen["seed"],
    )
    with planning.plan(
        request,
        wiring.capabilities(request.profile),
        app.prices,
        app.lifecycle,
        app.clock.now(),
        drafts=app.drafts.folder,
    ) as plan:
        for line in plan.lines():
            say(line)
        if not again:
            wiring.refuse_closed(app, request.profile)
        limit = None if max_cost is None else micros(max_cost)
        plan.estimate.must_not_exceed(limit, allow_unpriced=allow_unpriced)
        if dry_run:
            rehearsed = plan.intent("", max_cost=limit, allow_unpriced=allow_unpriced)
            wiring.rehearse_budget(app, rehearsed)
            return _print_dry_run(plan, as_json=as_json)
        ask(plan, yes=yes or as_json)
        provider = app.provider(request.profile.name)
        ledger = app.ledger(say)
        release_dead(app.vault())
        intent = plan.intent(provider.account, max_cost=limit, allow_unpriced=allow_unpriced)
        job = submitting.record(intent, ledger, again=again)
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
            flag = _flag(job.error.param)
            if flag:
                say(f"it names {flag}")
        step = tell.next_step(job)
        if step:
            say(f"next: {step}")
    return exit_code(job)


def exit_code(job: Job) -> ExitCode:
    """What a job that was just submitted says to the shell."""
    if job.status is JobStatus.UNKNOWN:
        say("no clear answer came back; `ftctl sync` finds out and never submits it twice")
        return ExitCode.TRY_LATER
    failed = job.status in {JobStatus.FAILED, JobStatus.REJECTED, JobStatus.CANCELLED}
    return ExitCode.NO if failed else ExitCode.DONE


def _flag(param: str | None) -> str | None:
    """What was typed for the field that the provider names, as in `method.dpo.beta`."""
    from orchestrator.usecases.jobs.request_limits import FLAGS

    parts = (param or "").replace("[", ".").split(".")
    return next((FLAGS[part] for part in reversed(parts) if part in FLAGS), None)


def ask(plan: Plan, *, yes: bool) -> None:
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
