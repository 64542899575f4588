"""`ftctl demo`: the whole of ftctl, measured on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import __version__, wiring
from orchestrator.cli import progress
from orchestrator.cli.output import console, json_option, print_json, printable, say
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.usecases.demo import DemoResult


@click.command(epilog="\b\nExample:\n  ftctl demo\n  ftctl demo --task spam --model smollm2")
@click.option(
    "--task", type=click.Choice(["tickets", "spam"]), default="tickets", show_default=True
)
@click.option("--model", default="tiny", show_default=True, help="Base model.")
@click.option("--provider", default="local", show_default=True, help="Profile that trains.")
@click.option("--seed", default=0, show_default=True, help="Of data, training and examples.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("ftctl-demo"),
    show_default=True,
    help="Folder for data and report.",
)
@json_option
@click.pass_context
def demo(
    ctx: click.Context, task: str, model: str, provider: str, seed: int, out: Path, as_json: bool
) -> int:
    """Validate, convert, train, follow, compare and judge a small task; nothing is prepared.

    The exit code is 0 whatever the verdict: the demo shows what was measured.
    """
    from orchestrator.usecases import demo as playing

    app = wiring.app(ctx)
    profile = app.settings.profile(provider)
    ledger = app.ledger(say)
    stage = playing.Stage(
        ledger=ledger,
        comparisons=app.comparisons,
        profile=profile,
        folder=out,
        wait=lambda job, host: progress.wait(job, host, ledger, fast=profile.embedded),
        show=progress.answers(),
        version=__version__,
    )
    done = playing.run(stage, task=task, model=model, seed=seed)
    if as_json:
        print_json(_as_json(done))
    else:
        _show(done)
    return ExitCode.DONE


def _as_json(done: DemoResult) -> dict[str, object]:
    return {
        "job": done.job.id,
        "comparison": done.comparison.id,
        "arms": {
            arm.name.partition(":")[0].replace("-", "_"): dict(arm.metrics)
            for arm in done.comparison.arms
        },
        "verdict": done.report["verdict"],
        "compared": str(done.comparison.verdict),
        "seconds": round(done.seconds, 1),
        "files": done.report["files"],
    }


def _show(done: DemoResult) -> None:
    from orchestrator.reports.terminal import show_comparison

    show_comparison(console(), done.comparison)
    because = ", ".join(done.report["because"]) or "every criterion passes"
    click.echo(f"DECISION {done.report['verdict']}  because: {because}")
    for action in done.report["actions"]:
        click.echo(f"  to do: {printable(action['text'])}")
    for path in done.report["files"]:
        click.echo(f"  wrote: {path}")
    click.echo(f"measured in {done.seconds:.0f} seconds on this machine")
    say(f"next: ftctl status {done.job.id}, then README.md for your own data")
