"""`ftctl evacuate`: the dated plan out, for every tuned model."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, printable, say

if TYPE_CHECKING:
    from datetime import datetime


@click.command(
    epilog="\b\nExample:\n"
    "  ftctl evacuate\n"
    "  ftctl evacuate --provider openai --markdown leaving.md\n"
    "  ftctl evacuate --date 2027-01-10"
)
@click.option("--provider", "name", help="Only models of that profile.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Plan as of that day; nothing else changes.  [default: today]",
)
@click.option(
    "--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan there, too."
)
@json_option
@click.pass_context
def evacuate(
    ctx: click.Context,
    name: str | None,
    day: datetime | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Plan the move of every tuned model, own and adopted, before it stops answering.

    For each: its last day and who says so, where the same training can be done until when, whether
    its data and a recording of its answers are here, and the steps that remain, with what to type and
    the last day for each. Reads the ledger and the dated files; asks nobody.
    """
    from orchestrator.reports import evacuation
    from orchestrator.usecases.moving.evacuate import evacuate as plan_all

    app = wiring.app(ctx)
    if name is not None:
        app.settings.profile(name)
    today = day.date() if day else app.clock.now().astimezone(UTC).date()
    plans = plan_all(app.leaving(), today, provider=name)
    if markdown is not None:
        markdown.write_text(evacuation.to_markdown(plans, today), encoding="utf-8")
        say(f"wrote {markdown}")
    if as_json:
        print_json(evacuation.as_json(plans, today))
    elif not plans:
        say("no tuned models are known; ftctl adopt --provider P brings those of an account")
    else:
        print_table(evacuation.COLUMNS, [evacuation.summary(plan) for plan in plans])
        for plan in plans:
            if plan.steps:
                click.echo("\n" + "\n".join(map(printable, evacuation.lines(plan))))
