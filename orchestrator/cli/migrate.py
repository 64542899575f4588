"""`ftctl migrate`: make a job anew at another provider, and prepare the proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli import progress, tell
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.cli.submit import ask, exit_code
from orchestrator.cli.submit_options import cost_options
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.domain.money.usd import micros

if TYPE_CHECKING:
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.move import ParityPlan
    from orchestrator.usecases.moving.migrate import Migration, Wish


@click.command(
    epilog="\b\nExample:\n"
    "  ftctl migrate 7k2 --to local --model smollm2 --dry-run\n"
    "  ftctl migrate 7k2 --to azure --model gpt-4.1-mini-2025-04-14 --test test.jsonl --wait"
)
@click.argument("job_id", metavar="JOB")
@click.option("--to", "profile", required=True, help="Profile; see `ftctl providers list`.")
@click.option("--model", required=True, help="The base model there.")
@click.option(
    "--test",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows to measure both models on; left out of the new training.",
)
@click.option("--recording", metavar="NAME", help="The old model's answers.  [default: newest]")
@click.option(
    "--margin",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=3.0,
    show_default=True,
    help="Largest loss in points that does not matter; fixed here, before there are results.",
)
@click.option("--allow-loss", is_flag=True, help="Leave out rows that the target cannot hold.")
@click.option("--dry-run", is_flag=True, help="Say what would become of it all; send nothing.")
@click.option("--again", is_flag=True, help="Move it although the same move was made before.")
@cost_options
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--wait", is_flag=True, help="Stay until the job has ended, with progress.")
@json_option
@click.pass_context
def migrate(
    ctx: click.Context,
    job_id: str,
    profile: str,
    model: str,
    test: Path | None,
    recording: str | None,
    margin: float,
    allow_loss: bool,
    dry_run: bool,
    again: bool,
    max_cost: float | None,
    allow_unpriced: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Make JOB anew at another provider, from the data in the store, by the same recipe.

    Every setting is shown as kept, translated or left to the target, with the reason. The same
    command again finds the job that it made and does not make a second one. The comparison with the
    old model is prepared: its margin is written down before there is an answer of the new one.
    """
    from orchestrator.usecases.moving.migrate import Wish

    app = wiring.app(ctx)
    wish = Wish(
        source=app.jobs.find(job_id),
        profile=app.settings.profile(profile),
        model=model,
        test=test,
        recording=recording,
        margin=margin / 100,
        allow_loss=allow_loss,
    )
    if wish.source.tuned_model is None:
        raise UsageError(
            f"Job {wish.source.id} has no tuned model to replace; it is {wish.source.status}.",
            hint=f"ftctl status {wish.source.id}",
        )
    consent = _Consent(
        dry_run=dry_run,
        yes=yes or as_json,
        again=again,
        limit=None if max_cost is None else micros(max_cost),
        allow_unpriced=allow_unpriced,
    )
    job, migration = _made(app, wish, consent)
    if job is None:
        assert migration is not None
        _print_dry_run(app, migration, as_json=as_json)
        return ExitCode.DONE
    job = _sent(app, job, wait=wait)
    _print(app, wish, job, migration, as_json=as_json)
    return exit_code(job)


@dataclass(frozen=True, kw_only=True)
class _Consent:
    """What may be done and spent without another question; `limit` is in micro-dollars."""

    dry_run: bool
    yes: bool
    again: bool
    limit: int | None
    allow_unpriced: bool


def _made(app: wiring.App, wish: Wish, consent: _Consent) -> tuple[Job | None, Migration | None]:
    """The job of this move: the one that was made before, else a new intent, written down."""
    from orchestrator.usecases.moving.migrate import earlier

    # Two of the same command at once must not make two jobs.
    with app.claim(f"migrate-{wish.source.id}") as ours:
        if not ours:
            raise UsageError(f"Job {wish.source.id} is being migrated by another process.")
        found = None if consent.again else earlier(wish, app.jobs, app.moves)
        if found is not None:
            say(f"this move was made before, as job {found.id} ({found.status})")
            return found, None
        return _recorded(app, wish, consent)


def _recorded(app: wiring.App, wish: Wish, consent: _Consent) -> tuple[Job | None, Migration]:
    """The new job's intent, written down; None where this was a rehearsal."""
    from orchestrator.usecases.comparing.allowance import release_dead
    from orchestrator.usecases.jobs.submit import record
    from orchestrator.usecases.moving.migrate import prepare

    with prepare(
        wish,
        meaning=wiring.capabilities_of(app, wish.source),
        capabilities=wiring.capabilities(wish.profile),
        datasets=app.datasets,
        recordings=app.recordings,
        prices=app.prices,
        lifecycle=app.lifecycle,
        now=app.clock.now(),
        drafts=app.drafts.folder,
    ) as migration:
        _show(migration)
        if not consent.again:
            wiring.refuse_closed(app, wish.profile)
        migration.plan.estimate.must_not_exceed(
            consent.limit, allow_unpriced=consent.allow_unpriced
        )
        if consent.dry_run:
            return None, migration
        ask(migration.plan, yes=consent.yes)
        provider = app.provider(wish.profile.name)
        release_dead(app.vault())
        intent = migration.plan.intent(
            provider.account, max_cost=consent.limit, allow_unpriced=consent.allow_unpriced
        )
        job = record(intent, app.ledger(say), again=consent.again, move=migration.move)
        return job, migration


def _sent(app: wiring.App, job: Job, *, wait: bool) -> Job:
    from orchestrator.usecases.jobs.submit import submit

    provider, ledger = app.provider(job.provider), app.ledger(say)
    if job.status.is_unsent:
        with app.claim(job.id):
            job = submit(job, provider, ledger)
    if wait and not job.status.is_final:
        fast = app.settings.profile(job.provider).embedded
        job = progress.wait(job, provider, ledger, fast=fast)
    return job


def _show(migration: Migration) -> None:
    print_table(
        ("SETTING", "OLD", "NEW", "", "WHY"),
        [
            (line.name, line.old or "-", line.new or "-", str(line.how), line.why)
            for line in migration.lines
        ],
        stderr=True,
    )
    for line in migration.plan.lines():
        say(line)


def _print_dry_run(app: wiring.App, migration: Migration, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(migration.wish, None, migration, migration.parity))
        return
    _say_parity(app, migration.wish.source, migration.parity, "NEWJOB")
    say("dry run: nothing was sent or written")


def _print(
    app: wiring.App, wish: Wish, job: Job, migration: Migration | None, *, as_json: bool
) -> None:
    from orchestrator.usecases.moving.parity import completed

    move = app.moves.of(job.id)
    assert move is not None
    parity = completed(move.parity, wish.source, app.recordings)
    if as_json:
        print_json(_plain(wish, job, migration, parity))
        return
    click.echo(f"{job.id}  {job.status}" + (f"  {job.tuned_model}" if job.tuned_model else ""))
    if job.error:
        say(f"the provider says: {job.error.message}")
    _say_parity(app, wish.source, parity, job.id)
    step = tell.next_step(job, parity)
    if step and not step.startswith("ftctl compare"):
        say(f"next: {step}")


def _say_parity(app: wiring.App, source: Job, parity: ParityPlan, job_id: str) -> None:
    from orchestrator.usecases.comparing.compare import expected_parity_rows

    say(f"margin {100 * parity.margin:g} points, fixed now ({parity.digest[:12]})")
    if parity.recording is None:
        test = parity.test_file or "TEST.jsonl"
        say(f"no recording of {source.tuned_model} is known; while it still answers:")
        say(f"  {tell.record_command(source, test)}")
    else:
        rows = app.recordings.get(parity.recording).rows
        fewest = min(expected_parity_rows(parity.margin).values())
        if rows < fewest:
            say(
                f"{rows:,} rows are recorded, and parity within that margin takes {fewest:,} at the"
                " very least: record more while the old model answers"
            )
    say(f"when the new model answers: {parity.command(job_id)}")


def _plain(
    wish: Wish, job: Job | None, migration: Migration | None, parity: ParityPlan
) -> dict[str, Any]:
    """What `migrate --json` prints; described in schemas/migrate.schema.json."""
    from orchestrator.domain.jobs.recipe import lines_json

    return {
        "id": job.id if job else None,
        "status": str(job.status) if job else "dry-run",
        "source": wish.source.id,
        "provider": wish.profile.name,
        "model": wish.model,
        "tuned_model": job.tuned_model if job else None,
        "error": job.error.message if job and job.error else None,
        "found": migration is None,
        "lines": lines_json(migration.lines) if migration else [],
        "estimate": migration.plan.estimate_json() if migration else None,
        "parity": {
            "recording": parity.recording,
            "test": parity.test,
            "test_file": parity.test_file,
            "margin": parity.margin,
            "digest": parity.digest,
            "command": parity.command(job.id if job else "NEWJOB"),
        },
    }
