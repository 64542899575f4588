"""`ftctl cron`: the line that polls for you."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json


@click.command(epilog="\b\nExample:\n  (crontab -l; ftctl cron) | crontab -")
@click.option("--every", type=click.IntRange(1, 59), default=5, show_default=True, help="Minutes.")
@json_option
@click.pass_context
def cron(ctx: click.Context, every: int, as_json: bool) -> None:
    """Print the crontab line for this installation; it prints mail only when something changed."""
    settings = wiring.app(ctx).settings
    program = shutil.which("ftctl") or str(Path(sys.argv[0]).absolute())
    environment = {"FTCTL_HOME": str(settings.home)}
    if settings.config_file:
        environment["FTCTL_CONFIG"] = str(settings.config_file.absolute())
    words = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    # A percent sign ends a command in a crontab.
    line = f"*/{every} * * * * {' '.join(words)} {shlex.quote(program)} sync".replace("%", r"\%")
    if as_json:
        print_json({"crontab": line})
    else:
        click.echo(line)
