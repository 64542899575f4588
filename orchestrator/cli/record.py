"""`ftctl record` and `ftctl recordings`: freeze a model's answers while it still answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli import progress
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.comparing.arm import Plan
from orchestrator.domain.errors import ExitCode
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.comparing.allowance import allowance
from orchestrator.usecases.comparing.compare import token_limit
from orchestrator.usecases.comparing.samples import read_samples, select
from orchestrator.usecases.comparing.till import Till
from orchestrator.usecases.hosting.deployment_plan import must_answer

if TYPE_CHECKING:
    from orchestrator.domain.comparing.answerbook import Recording

EXAMPLE = """\b
Example:
  ftctl record ft:gpt-4.1-mini:acme::x1 --provider openai --test test.jsonl --name old
  ftctl compare JOB --test test.jsonl --arm recorded:old --arm tuned
  ftctl record gpt-4.1 --provider openai --test test.jsonl --name twice --repeats 2
"""


@click.command(epilog=EXAMPLE)
@click.argument("model")
@click.option("--provider", required=True, metavar="PROFILE", help="Who hosts the model.")
@click.option(
    "--test", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Chat JSONL."
)
@click.option("--name", required=True, help="By which recorded:NAME finds it.")
@click.option("--limit", type=click.IntRange(min=1), help="So many rows, drawn by --seed.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Answers per row; two or more show how much the model differs from itself.",
)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens of an answer.")
@click.option(
    "--max-cost", type=click.FloatRange(min=0), metavar="USD", help="Stop before spending more."
)
@click.option(
    "--allow-unpriced", is_flag=True, help="Ask a model without a price although a budget is set."
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Calls at once."
)
@json_option
@click.pass_context
def record(
    ctx: click.Context,
    /,
    *,
    model: str,
    provider: str,
    test: Path,
    name: str,
    limit: int | None,
    seed: int,
    repeats: int,
    temperature: float,
    max_tokens: int | None,
    max_cost: float | None,
    allow_unpriced: bool,
    concurrency: int,
    as_json: bool,
) -> int:
    """Freeze the answers of MODEL, their tokens and times, before it is shut down.

    The same command again goes on where a stopped one was, and pays for no answer twice.
    Exit code 10: some rows have no answer.
    """
    from orchestrator.usecases.comparing.recording import Studio
    from orchestrator.usecases.comparing.recording import record as freeze

    app = wiring.app(ctx)
    kind = app.settings.profile(provider).kind
    samples = select(read_samples(test), [], limit=limit, seed=seed)
    _warn(app, kind, model)
    _refuse_undeployed(app, provider, model)
    model = app.pin(provider, model)
    plan = Plan(
        max_tokens=max_tokens or token_limit(s.reference for s in samples.samples),
        concurrency=concurrency,
        repeats=repeats,
        temperature=temperature,
    )
    with allowance(app.vault(), subject=f"record {name}", allow_unpriced=allow_unpriced) as allowed:
        till = Till(book=app.prices, kind=kind, profile=provider, limit=max_cost, allowance=allowed)
        studio = Studio(
            provider=app.provider(provider),
            profile=provider,
            kind=kind,
            store=app.recordings,
            clock=app.clock,
            till=till,
        )
        done = freeze(
            studio,
            model=model,
            name=name,
            samples=samples,
            plan=plan,
            progress=progress.answers(),
            test_file=str(test.absolute()),
        )
    plain = _plain(done) | {"asked": till.asked, "spent": till.known}
    if as_json:
        print_json(plain)
    else:
        spent = "unpriced" if till.known is None else f"${till.known:.4f}"
        click.echo(f"recorded {done.rows:,} answers of {model} as '{name}' ({spent})")
        say(f"next: ftctl compare JOB --test {test} --source recorded:{name} --margin 3")
    return ExitCode.INCONCLUSIVE if done.missing else ExitCode.DONE


@click.command(epilog="\b\nExample:\n  ftctl recordings\n  ftctl recordings --json")
@json_option
@click.pass_context
def recordings(ctx: click.Context, /, *, as_json: bool) -> int:
    """List recordings, newest first."""
    found = wiring.app(ctx).recordings.all()
    if as_json:
        print_json([_plain(each) for each in found])
    elif found:
        columns = ("name", "model", "provider", "rows", "missing", "finished", "made")
        print_table(columns, [_line(each) for each in found])
    else:
        say("no recordings yet; ftctl record MODEL --provider P --test test.jsonl --name NAME")
    return ExitCode.DONE


def _refuse_undeployed(app: wiring.App, provider: str, model: str) -> None:
    if not wiring.capabilities(app.settings.profile(provider)).needs_deployment:
        return
    for job in app.jobs.all([JobStatus.SUCCEEDED]):
        if job.provider == provider and job.tuned_model and model.startswith(job.tuned_model):
            known = app.deployments.all(job_id=job.id)
            must_answer(job, [model], app.served(provider), known)


def _warn(app: wiring.App, kind: str, model: str) -> None:
    ends = app.lifecycle.answers_until(kind, model)
    if ends is not None and ends.day is not None:
        say(f"{model} retires on {ends.day}, in {ends.days_left(app.clock.now().date())} days")


def _plain(recording: Recording) -> dict[str, Any]:
    plain = asdict(recording)
    del plain["account"]
    return plain | {"created_at": recording.created_at.isoformat()}


def _line(each: Recording) -> tuple[str, ...]:
    made = each.created_at.date().isoformat()
    finished = "yes" if each.finished else "no"
    return each.name, each.model, each.provider, f"{each.rows:,}", str(each.missing), finished, made
